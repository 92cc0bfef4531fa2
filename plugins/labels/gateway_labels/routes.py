"""The routes under /api/labels: send a picture, show its fields, confirm it, refuse it."""

from typing import Any, Final

from litestar import Request, Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, RawBody, SkipValidation

from gateway.plugin import (
    MULTIPART,
    REVEAL_CONTACT,
    REVEAL_RX,
    Caller,
    Gateway,
    IdempotencyKey,
    OrdersOut,
    PageLimit,
    decode,
    idempotency_key,
    json_response,
    order_candidate,
    orders_answer,
    page_size,
    received,
)
from gateway_labels.label_reader import need_extra
from gateway_labels.schema import (
    ConfirmBody,
    ConfirmIn,
    LabelIn,
    ScanOut,
    ScansOut,
    ScanStartedOut,
)
from gateway_labels.service import MAX_PICTURE_BYTES, LabelService

_SEEING: Final = ("labels.scan", REVEAL_CONTACT, REVEAL_RX)
_WRAPPING_BYTES: Final = 100_000
OpenService = NamedDependency[SkipValidation[LabelService]]
"""The type of a handler's parameter for the label service."""
OpenGatewayOf = NamedDependency[SkipValidation[Gateway]]


def router(gateway: Gateway, service: LabelService) -> Router:
    """Make the routes over a service whose gateway is open when they are called."""
    return Router(
        "/api/labels",
        route_handlers=[
            send_picture,
            list_scans,
            show_scan,
            show_picture,
            confirm_scan,
            refuse_scan,
        ],
        dependencies={
            "service": Provide(lambda: service, sync_to_thread=False),
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
        },
    )


@post(
    "/",
    status_code=202,
    tags=["Labels"],
    summary="Send a picture of a label",
    request_max_body_size=MAX_PICTURE_BYTES + _WRAPPING_BYTES,
    opt={
        "permission": "labels.scan",
        "limit": "labels",
        "media": (MULTIPART,),
        "body": LabelIn,
        "answer": ScanStartedOut,
    },
)
async def send_picture(
    request: Request[Any, Any, Any],
    caller: NamedDependency[Caller],
    service: OpenService,
    gateway: OpenGatewayOf,
) -> Response[bytes]:
    r"""Have a printed label read; the answer comes at once, the reading takes some seconds.

    Ask `GET /api/labels/{id}` until `status` isn't `reading`. Nothing is ordered before a person
    confirms what was read. The picture is kept sealed and without its metadata. While too many
    wait to be read: 429 with `Retry-After`.

    ```bash
    curl -X POST $GATEWAY/api/labels -H "X-API-Key: $KEY" -F file=@label.png
    ```
    """
    need_extra()
    async with received(request, gateway.files.folder) as upload:
        scan_id = await service.upload(caller, upload, upload.fields.get("site") or None)
    headers = {"Location": f"/api/labels/{scan_id}"}
    return json_response(ScanStartedOut(scan_id, "reading"), 202, headers)


@get(
    "/",
    tags=["Labels"],
    summary="List scans of labels",
    opt={"permission": "labels.scan", "answer": ScansOut},
)
async def list_scans(
    caller: NamedDependency[Caller],
    service: OpenService,
    cursor: FromQuery[str | None] = None,
    limit: PageLimit = 50,
) -> Response[bytes]:
    """List scans, the newest first, without what was read.

    ```bash
    curl $GATEWAY/api/labels -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await service.page(caller, page_size(limit), cursor))


@get(
    "/{scan_id:str}",
    tags=["Labels"],
    summary="Show what was read of a label",
    opt={"permission": _SEEING, "answer": ScanOut},
)
async def show_scan(
    scan_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    """Show a label's fields with their confidence, its codes, and the draft of an order.

    `high` needs two sources that agree: a code and the text, or two places of the label. Name,
    address and rx number are for a person to look at whatever the confidence (`must_touch`).
    `existing` is a package that has the rx number already.

    ```bash
    curl $GATEWAY/api/labels/$SCAN -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await service.show(caller, scan_id))


@get(
    "/{scan_id:str}/picture",
    tags=["Labels"],
    summary="Fetch the picture of a label",
    media_type="image/jpeg",
    opt={"permission": (*_SEEING, "files.rx")},
)
async def show_picture(
    scan_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    """Fetch the picture, upright; the boxes of fields and codes are in its pixels.

    ```bash
    curl -o label.jpg $GATEWAY/api/labels/$SCAN/picture -H "X-API-Key: $KEY"
    ```
    """
    content = await service.picture(caller, scan_id)
    headers = {"Content-Disposition": f'attachment; filename="{scan_id}.jpg"'}
    return Response(content, media_type="image/jpeg", headers=headers)


@post(
    "/{scan_id:str}/confirm",
    status_code=200,
    tags=["Labels"],
    summary="Confirm a label's order",
    opt={
        "permission": ("labels.scan", "orders.create"),
        "limit": "orders",
        "body": ConfirmIn,
        "answer": OrdersOut,
    },
)
async def confirm_scan(
    scan_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    service: OpenService,
    key: IdempotencyKey = None,
) -> Response[bytes]:
    r"""Create the package of a label, from the order as a person corrected and confirmed it.

    The answer is that of `POST /api/webhook/orders`. A scan makes one package at most: confirmed
    again, it answers with that package as a duplicate.

    ```bash
    curl -X POST $GATEWAY/api/labels/$SCAN/confirm -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"order": {"patient_name": "Maria Rodriguez",
      "patient_address": "123 Main St, Miami, FL 33178", "rx_number": "8872341"}}'
    ```
    """
    idempotency = idempotency_key(key, scan_id.encode() + b"\n" + body)
    candidate = order_candidate(decode(body, ConfirmBody).order)
    return orders_answer(await service.confirm(caller, scan_id, candidate, idempotency))


@delete(
    "/{scan_id:str}",
    status_code=204,
    tags=["Labels"],
    summary="Refuse a label",
    opt={"permission": "labels.scan"},
)
async def refuse_scan(
    scan_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> None:
    """Decide that no order comes of a label; its picture is erased some days later.

    ```bash
    curl -X DELETE $GATEWAY/api/labels/$SCAN -H "X-API-Key: $KEY"
    ```
    """
    await service.refuse(caller, scan_id)
