"""The preview of an event for an endpoint. Pure."""

from datetime import datetime
from typing import Any

from gateway.plugin import Caller, ClaimedDelivery, Event, decode, masked
from gateway_webhooks.disclosure import unfit_field
from gateway_webhooks.formats import write
from gateway_webhooks.schema import PreviewOut
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings


def preview_out(
    event: Event,
    settings: EndpointSettings,
    caller: Caller,
    now: datetime,
    only_to: str | None = None,
) -> PreviewOut:
    """Serialize an event for ``settings``, with values masked for ``caller``.

    ``only_to`` is the exclusive endpoint that alone gets the event, if there is one.
    """
    shown = ClaimedDelivery(
        id="dlv_preview",
        account_id=event.account_id,
        destination_id="dst_preview",
        event=event,
        attempt=1,
        retry_index=0,
        lease="",
        created_at=now,
        first_attempt_at=now,
    )
    body = decode(write(shown, settings, WebhooksSettings(), now).body, dict[str, Any])
    unfit = unfit_field(event, settings.filter_fields)
    sent = settings.send_fields
    names = set(event.data) if sent is None else {each.partition(".")[0] for each in sent}
    renamed = {new: old for old, new in settings.rename_fields.items()}
    body["data"] = _masked(caller, body["data"], renamed)
    return PreviewOut(
        event_id=event.id,
        event=event.type,
        sent=unfit is None and only_to is None,
        unfit_field=unfit,
        only_to=only_to,
        left_out=sorted(set(event.data) - names),
        body=body,
    )


def _masked(caller: Caller, data: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """Mask fields by the names that the gateway knows, and return them under the new ones."""
    result: dict[str, Any] = {}
    for name, value in data.items():
        own = renamed.get(name, name)
        result[name] = masked(caller, {own: value})[own]
    return result
