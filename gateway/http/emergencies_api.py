"""``/api/emergencies``: break-glass over JSON."""

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, RawBody, SkipValidation

from gateway.auth.emergencies import PERMISSION
from gateway.auth.sessions import SignedIn
from gateway.model.account import Caller
from gateway.model.person import Emergency
from gateway.model.wire import decode, timestamp
from gateway.runtime import Gateway
from gateway.sdk.http import json_response

AnyCaller = NamedDependency[Caller]
Own = NamedDependency[SkipValidation[SignedIn]]


class EmergencyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which package has to be seen in full now, and why (10 to 1,000 characters)."""

    package_id: str
    reason: str


class EmergencyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was opened in an emergency."""

    id: str
    package_id: str
    person_id: str
    reason: str
    opened_at: str | None
    closes_at: str | None
    reviewed_by: str | None
    reviewed_at: str | None


class EmergenciesOut(msgspec.Struct, frozen=True):
    """Emergencies, newest first."""

    emergencies: list[EmergencyOut]


def emergencies_router(gateway: Gateway) -> Router:
    """Make the routes of ``/api/emergencies``."""
    emergencies = gateway.emergencies

    @post(
        "/",
        status_code=201,
        summary="Open a record in an emergency",
        opt={
            "permission": PERMISSION,
            "session": True,
            "step_up": True,
            "body": EmergencyIn,
            "answer": EmergencyOut,
        },
    )
    async def open_record(body: RawBody, caller: AnyCaller, signed_in: Own) -> Response[bytes]:
        """Show one package in full to this person for 30 minutes; another person reviews it."""
        del signed_in
        given = decode(body, EmergencyIn)
        made = await emergencies.open(caller, given.package_id, given.reason)
        return json_response(_out(made), 201)

    @get(
        "/",
        summary="List emergencies",
        opt={"permission": "audit.read", "answer": EmergenciesOut},
    )
    async def show(caller: AnyCaller, unreviewed: FromQuery[bool] = True) -> Response[bytes]:
        """List the records that were opened in emergencies: those that wait for a review.

        ```bash
        curl $GATEWAY/api/emergencies -H "X-API-Key: $KEY"
        ```
        """
        found = await emergencies.page(caller.account_id, unreviewed=unreviewed)
        return json_response(EmergenciesOut([_out(each) for each in found]))

    @post(
        "/{emergency_id:str}/review",
        status_code=204,
        summary="Review an emergency",
        opt={"permission": "audit.read", "session": True},
    )
    async def review(emergency_id: FromPath[str], caller: AnyCaller, signed_in: Own) -> None:
        """Take an emergency off the list, as another person than who opened the record."""
        del signed_in
        await emergencies.review(caller, emergency_id)

    handlers: list[HTTPRouteHandler] = [open_record, show, review]
    return Router("/api/emergencies", route_handlers=handlers, tags=["Emergencies"])


def _out(emergency: Emergency) -> EmergencyOut:
    return EmergencyOut(
        id=emergency.id,
        package_id=emergency.subject,
        person_id=emergency.person_id,
        reason=emergency.reason,
        opened_at=timestamp(emergency.created_at),
        closes_at=timestamp(emergency.expires_at),
        reviewed_by=emergency.reviewed_by,
        reviewed_at=timestamp(emergency.reviewed_at),
    )
