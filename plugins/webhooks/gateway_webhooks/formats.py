"""Serialize an event in each of the three formats, with its headers. Pure.

The bytes made here are the bytes that are signed and sent.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.plugin import ClaimedDelivery, encode, isoformat
from gateway_webhooks.disclosure import disclosed
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings
from gateway_webhooks.signing import (
    sign_autorx,
    sign_scriptrun,
    sign_standard,
    sign_standard_asymmetric,
)


class Message(NamedTuple):
    """A webhook ready to be sent: its body and headers."""

    body: bytes
    headers: dict[str, str]


def write(
    delivery: ClaimedDelivery, endpoint: EndpointSettings, settings: WebhooksSettings, now: datetime
) -> Message:
    """Serialize and sign a delivery for one attempt, at ``now``."""
    secret, next_secret = endpoint.secrets_at(now)
    if endpoint.send_fields is not None or endpoint.rename_fields:
        event = delivery.event
        data = disclosed(event.data, endpoint.send_fields, endpoint.rename_fields)
        delivery = replace(delivery, event=replace(event, data=data))
    if endpoint.format == "scriptrun":
        message = _scriptrun(delivery, secret, next_secret, now)
    elif endpoint.format == "autorx":
        message = _autorx(delivery, secret, next_secret, now, settings)
    else:
        sign = sign_standard_asymmetric if endpoint.signature == "v1a" else sign_standard
        message = _standard(delivery, secret, next_secret, now, sign)
    message.headers["Content-Type"] = "application/json"
    message.headers.update(endpoint.headers)
    return message


def _scriptrun(
    delivery: ClaimedDelivery, secret: str, next_secret: str | None, now: datetime
) -> Message:
    event = delivery.event
    body = encode(
        {
            "id": event.id,
            "event": event.type,
            "created_at": isoformat(event.recorded_at),
            "data": event.data,
        }
    )
    signature = sign_scriptrun(secret, int(now.timestamp()), body, next_secret)
    return Message(body, {"X-ScriptRun-Event": event.type, "X-ScriptRun-Signature": signature})


def _autorx(
    delivery: ClaimedDelivery,
    secret: str,
    next_secret: str | None,
    now: datetime,
    settings: WebhooksSettings,
) -> Message:
    event = delivery.event
    body = encode(
        {
            "event": event.type,
            "id": event.id,
            "queueId": event.data.get("queue_id"),
            "timestamp": isoformat(event.recorded_at),
            "attempt": delivery.attempt,
            "attemptedAt": isoformat(now),
            "data": camel_cased(event.data),
        }
    )
    encoding = settings.autorx_signature
    headers = {"X-AutoRx-Signature": sign_autorx(secret, body, encoding)}
    if next_secret is not None:
        headers["X-AutoRx-Signature-Next"] = sign_autorx(next_secret, body, encoding)
    return Message(body, headers)


def _standard(
    delivery: ClaimedDelivery,
    secret: str,
    next_secret: str | None,
    now: datetime,
    sign: Callable[[str, str, int, bytes, str | None], str],
) -> Message:
    event = delivery.event
    body = encode(
        {"type": event.type, "timestamp": isoformat(event.recorded_at), "data": event.data}
    )
    timestamp = int(now.timestamp())
    return Message(
        body,
        {
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, event.id, timestamp, body, next_secret),
        },
    )


def camel_cased(value: Any) -> Any:
    """Return ``value`` with every key of every object in camelCase."""
    if isinstance(value, Mapping):
        return {_camel(key): camel_cased(each) for key, each in value.items()}
    if isinstance(value, list):
        return [camel_cased(each) for each in value]
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
