"""The audit trail over HTTP: search it, and the two reports about one patient.

Each is a POST, so that no URL names a patient; ``?as_csv=true`` answers with a CSV file.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, RawBody
from msgspec import Meta

from gateway.clock import aware
from gateway.model.account import Caller
from gateway.model.audit import Kind
from gateway.model.csv_text import csv_text
from gateway.model.wire import decode
from gateway.runtime import Gateway
from gateway.sdk.http import json_response, page_size
from gateway.storage.stores.access_reports import (
    AuditFilter,
    AuditRow,
    Disclosure,
    Sought,
    as_rows,
)


class AuditSearchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows of the trail to return, newest first; ``cursor`` is that of the page before."""

    actor: str | None = None
    action: str | None = None
    kind: Kind | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: int | None = None
    limit: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100})] = 50


class AuditRowsOut(msgspec.Struct):
    """A page of the trail."""

    rows: Sequence[AuditRow]
    next_cursor: int | None = None


class AccessesOut(msgspec.Struct):
    """Who saw or changed the patient's record, oldest first."""

    accesses: Sequence[AuditRow]


class DisclosuresOut(msgspec.Struct):
    """To whom the patient's data was disclosed, by first time."""

    disclosures: list[Disclosure]


def audit_router(gateway: Gateway) -> Router:
    """Build the router; the gateway is open by the time a route is called."""
    return Router(
        "/api/audit", route_handlers=[_search(gateway), _accesses(gateway), _accounting(gateway)]
    )


def _search(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/search",
        status_code=200,
        tags=["Audit"],
        summary="Search the audit trail",
        opt={
            "permission": "audit.read",
            "limit": "reads",
            "body": AuditSearchIn,
            "answer": AuditRowsOut,
        },
    )
    async def search_audit(
        body: RawBody, caller: NamedDependency[Caller], as_csv: FromQuery[bool] = False
    ) -> Response[Any]:
        r"""List what was done and seen, newest first. The search itself is recorded.

        ```bash
        curl -X POST $GATEWAY/api/audit/search -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"action": "package.viewed"}'
        ```
        """
        sent = decode(body, AuditSearchIn)
        size = page_size(sent.limit)
        wanted = AuditFilter(
            size + 1,
            before=sent.cursor,
            actor=sent.actor,
            action=sent.action,
            kind=sent.kind,
            subject=sent.subject,
            since=None if sent.since is None else aware(sent.since),
            until=None if sent.until is None else aware(sent.until),
        )
        found = (await gateway.audit_reports.page(caller, wanted)).rows
        if as_csv:
            return _csv(found[:size], AuditRow, "audit.csv")
        cursor = found[size - 1].sequence if len(found) > size else None
        return json_response(AuditRowsOut(found[:size], cursor))

    return search_audit


def _accesses(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/patient",
        status_code=200,
        tags=["Audit"],
        summary="Show who saw a patient's record",
        opt={
            "permission": "reports.access",
            "limit": "reads",
            "body": Sought,
            "answer": AccessesOut,
        },
    )
    async def report_accesses(
        body: RawBody, caller: NamedDependency[Caller], as_csv: FromQuery[bool] = False
    ) -> Response[Any]:
        r"""Show who saw or changed the record of a patient, named in any one way that is known.

        It also finds what was seen before the record was erased. Asking is itself recorded.

        ```bash
        curl -X POST $GATEWAY/api/audit/patient -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"patient_phone": "+13055551234"}'
        ```
        """
        found = (await gateway.audit_reports.accesses(caller, decode(body, Sought))).rows
        if as_csv:
            return _csv(found, AuditRow, "accesses.csv")
        return json_response(AccessesOut(found))

    return report_accesses


def _accounting(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/disclosures",
        status_code=200,
        tags=["Audit"],
        summary="Show to whom a patient's data was disclosed",
        opt={
            "permission": "reports.access",
            "limit": "reads",
            "body": Sought,
            "answer": DisclosuresOut,
        },
    )
    async def report_disclosures(
        body: RawBody, caller: NamedDependency[Caller], as_csv: FromQuery[bool] = False
    ) -> Response[Any]:
        r"""Show the accounting of disclosures of a patient. Asking is itself recorded.

        ```bash
        curl -X POST $GATEWAY/api/audit/disclosures -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"rx_number": "RX-8872341"}'
        ```
        """
        found = await gateway.audit_reports.disclosures(caller, decode(body, Sought))
        if as_csv:
            return _csv(found, Disclosure, "disclosures.csv")
        return json_response(DisclosuresOut(found))

    return report_disclosures


def _csv(
    found: Sequence[msgspec.Struct], shape: type[msgspec.Struct], name: str
) -> Response[bytes]:
    text = csv_text(shape.__struct_fields__, [list(each.values()) for each in as_rows(found)])
    return Response(
        text.encode(),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
