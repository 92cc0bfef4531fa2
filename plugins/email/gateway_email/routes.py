"""``/api/email/recipients``: the recipients over HTTP."""

from typing import Final

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, RawBody, SkipValidation

from gateway.plugin import Caller, Gateway, decode, json_response
from gateway_email.commands import shown
from gateway_email.recipients import Recipients
from gateway_email.schema import RecipientIn, RecipientOut, RecipientsOut

# A recipient receives events, as an endpoint does.
PERMISSION: Final = "webhooks.manage"
Service = NamedDependency[SkipValidation[Recipients]]


@get(
    "/recipients",
    tags=["Email"],
    summary="List recipients of mails",
    opt={"permission": PERMISSION, "answer": RecipientsOut},
)
async def list_recipients(caller: NamedDependency[Caller], recipients: Service) -> Response[bytes]:
    """List the recipients of mails, oldest first.

    ```bash
    curl $GATEWAY/api/email/recipients -H "X-API-Key: $KEY"
    ```
    """
    found = await recipients.list(caller)
    return json_response({"recipients": [shown(each) for each in found]})


@post(
    "/recipients",
    tags=["Email"],
    summary="Add a recipient of mails",
    opt={"permission": PERMISSION, "body": RecipientIn, "answer": RecipientOut},
)
async def add_recipient(
    body: RawBody, caller: NamedDependency[Caller], recipients: Service
) -> Response[bytes]:
    r"""Add a recipient. It is mailed what needs a person, and each event of `events`.

    ```bash
    curl $GATEWAY/api/email/recipients -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"address": "pharmacist@lakeside.example"}'
    ```
    """
    wanted = decode(body, RecipientIn)
    added = await recipients.add(
        caller,
        wanted.address,
        events=wanted.events,
        attention=wanted.attention,
        site=wanted.site,
    )
    return json_response(shown(added), 201)


@delete(
    "/recipients/{recipient_id:str}",
    status_code=204,
    tags=["Email"],
    summary="Remove a recipient of mails",
    opt={"permission": PERMISSION},
)
async def remove_recipient(
    recipient_id: FromPath[str], caller: NamedDependency[Caller], recipients: Service
) -> None:
    """Send a recipient no more mails. Its delivery log stays.

    ```bash
    curl -X DELETE $GATEWAY/api/email/recipients/$RECIPIENT -H "X-API-Key: $KEY"
    ```
    """
    await recipients.remove(caller, recipient_id)


def router(gateway: Gateway) -> Router:
    """Build the router. The gateway is open by the time a route is called."""
    recipients = Recipients(gateway)
    return Router(
        "/api/email",
        route_handlers=[list_recipients, add_recipient, remove_recipient],
        dependencies={"recipients": Provide(lambda: recipients, sync_to_thread=False)},
    )
