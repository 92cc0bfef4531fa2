"""The routes that read packages and their timelines."""

from collections.abc import Sequence
from datetime import date, datetime

from litestar import Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, RawBody

from gateway.plugin import (
    ANY_CALLER,
    SEARCH_FIELDS,
    Caller,
    ClearFilter,
    Gateway,
    InvalidInput,
    NotFound,
    OpenGateway,
    Package,
    PackageFilter,
    PageLimit,
    aware,
    decode,
    json_response,
    masked_package,
    page_size,
)
from gateway_json_api import mapping, schema


@get(
    "/packages",
    tags=["Packages"],
    summary="List packages",
    opt={"permission": "packages.read", "answer": schema.PackagesOut},
)
async def list_packages(  # noqa: PLR0913, PLR0917 - one for each query parameter
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
    status: FromQuery[str | None] = None,
    site: FromQuery[str | None] = None,
    source: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    delivery_day: FromQuery[date | None] = None,
    priority: FromQuery[schema.Priority | None] = None,
    driver_id: FromQuery[str | None] = None,
    flag: FromQuery[schema.Flag | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: PageLimit = 50,
) -> Response[bytes]:
    """List packages, newest first. `cursor` is the `next_cursor` of the page before.

    `delivery_day` is the day that the order asks for, `driver_id` the last driver reported.
    `flag` is `signature`, `refrigerated`, `controlled` (a prescription in the bag is),
    `needs_person` (the delivery failed or broke a rule of its place, or the bag came back, until
    a person has seen to it) or `no_proof` (delivered, without photo, signature or the name of
    who took it).

    ```bash
    curl "$GATEWAY/api/packages?status=created&limit=10" -H "X-API-Key: $KEY"
    ```
    """
    size = page_size(limit)
    start = None if since is None else aware(since)
    day = None if delivery_day is None else delivery_day.isoformat()
    clear = ClearFilter(day, priority, driver_id, flag)
    wanted = PackageFilter(size + 1, cursor, status, site, source, start, clear)
    async with gateway.database.read() as connection:
        found = await gateway.packages.page(connection, caller, wanted)
    return await _page(gateway, found, size, caller)


@post(
    "/packages/search",
    status_code=200,
    tags=["Packages"],
    summary="Find packages of a patient or prescription",
    opt={
        "permission": "packages.read",
        "limit": "reads",
        "body": schema.SearchIn,
        "answer": schema.PackagesOut,
    },
)
async def search_packages(
    body: RawBody, caller: NamedDependency[Caller], gateway: OpenGateway
) -> Response[bytes]:
    r"""Find packages by one exact value. It is a POST so that URLs hold no patient data.

    ```bash
    curl -X POST $GATEWAY/api/packages/search -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"rx_number": "RX-8872341"}'
    ```
    """
    sent = decode(body, schema.SearchIn)
    named = [(name, value) for name in SEARCH_FIELDS if (value := getattr(sent, name))]
    if len(named) != 1:
        raise InvalidInput(f"Send exactly one of {', '.join(SEARCH_FIELDS)}.")
    (field, value), size = named[0], page_size(sent.limit)
    async with gateway.database.read() as connection:
        found = await gateway.packages.search(
            connection, caller, field, value, limit=size + 1, before_id=sent.cursor
        )
    await gateway.audit.note([gateway.packages.searched(caller, field, value, hits=bool(found))])
    return await _page(gateway, found, size, caller)


@get(
    "/packages/{package_id:str}",
    tags=["Packages"],
    summary="Show a package",
    opt={"permission": "packages.read", "answer": schema.PackageOut},
)
async def show_package(
    package_id: FromPath[str], caller: NamedDependency[Caller], gateway: OpenGateway
) -> Response[bytes]:
    """Show one package with its order.

    ```bash
    curl $GATEWAY/api/packages/$PACKAGE -H "X-API-Key: $KEY"
    ```
    """
    package = await _visible(gateway, package_id, caller)
    await gateway.audit.note(gateway.packages.views(caller, [package], "package.viewed"))
    return json_response(mapping.package_out(masked_package(caller, package)))


@patch(
    "/packages/{package_id:str}",
    status_code=200,
    tags=["Packages"],
    summary="Correct a package",
    opt={
        "permission": "orders.amend",
        "limit": "updates",
        "body": schema.PackageChangeIn,
        "answer": schema.PackageChangeOut,
    },
)
async def change_package(
    package_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
) -> Response[bytes]:
    r"""Correct the order, or cancel prescriptions, while the package is in the pharmacy.

    `order` replaces the fields that it names. With `cancel_prescriptions` the others stay:
    the copay becomes the sum of those left, and `package.updated` goes out. Cancelling the
    last one is refused: report `package.cancelled` instead. `needs_person` changes at any time.

    ```bash
    curl -X PATCH $GATEWAY/api/packages/$PACKAGE -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"order": {"delivery_date": "2027-01-15"}}'
    ```
    """
    sent = decode(body, schema.PackageChangeIn)
    corrections = mapping.corrections_of(sent)
    if corrections is None:
        done = await gateway.amendments.change_bag(caller, package_id, mapping.change_of(sent))
    else:
        done = await gateway.amendments.correct(caller, package_id, corrections)
    return json_response(schema.PackageChangeOut(done.package_id, done.changed, done.event_id))


@get(
    "/packages/{package_id:str}/events",
    tags=["Packages"],
    summary="Show a package's timeline",
    opt={"permission": "packages.read", "answer": schema.TimelineOut},
)
async def show_timeline(
    package_id: FromPath[str], caller: NamedDependency[Caller], gateway: OpenGateway
) -> Response[bytes]:
    """List the events of a package in the order they were recorded.

    ```bash
    curl $GATEWAY/api/packages/$PACKAGE/events -H "X-API-Key: $KEY"
    ```
    """
    package = await _visible(gateway, package_id, caller)
    async with gateway.database.read() as connection:
        events = await gateway.events.of_subject(connection, caller, package_id)
    await gateway.audit.note(gateway.packages.views(caller, [package], "package.viewed"))
    entries = [mapping.event_out(each, caller, gateway.shown_of(each.type)) for each in events]
    return json_response(schema.TimelineOut(entries))


@get(
    "/event-types",
    tags=["Events"],
    summary="List the event types",
    opt={"permission": ANY_CALLER, "answer": schema.CatalogOut},
    sync_to_thread=False,
)
def list_event_types(gateway: OpenGateway) -> Response[bytes]:
    """List every event type with a sample and a JSON schema.

    ```bash
    curl $GATEWAY/api/event-types -H "X-API-Key: $KEY"
    ```
    """
    entries = [mapping.event_type_out(entry) for entry in gateway.catalog()]
    return json_response(schema.CatalogOut(entries))


async def _visible(gateway: Gateway, package_id: str, caller: Caller) -> Package:
    async with gateway.database.read() as connection:
        package = await gateway.packages.get(connection, caller, package_id)
    if package is None:
        raise NotFound("There is no such package.")
    return package


async def _page(
    gateway: Gateway, found: Sequence[Package], size: int, caller: Caller
) -> Response[bytes]:
    shown = found[:size]
    await gateway.audit.note(gateway.packages.views(caller, shown, "package.viewed"))
    cursor = shown[-1].id if len(found) > size else None
    return json_response(
        schema.PackagesOut(
            [mapping.package_out(masked_package(caller, each)) for each in shown], cursor
        )
    )
