"""An attempt as it was sent: its URL, headers and bytes, rebuilt from stored data.

The bytes depend on the event, which never changes, and on the time of the attempt. The signature
depends on the secret, and URL and headers on the endpoint, as they are today: later changes are
named, so that no value is wrongly shown as sent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from gateway.plugin import Attempt, Caller, ClaimedDelivery, Delivery, Event, masked
from gateway_webhooks.formats import write
from gateway_webhooks.mapping import TEST_EVENT_TYPE
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings

HIDDEN: Final = "(hidden)"
Difference = Literal["secret", "settings", "erased", "removed"]


class SentRequest(NamedTuple):
    """The request of an attempt.

    ``body`` is masked for the caller (``is_masked``), ``body_bytes`` the size of the sent body.
    Values of the endpoint's own headers are hidden. ``differs`` names later changes and missing
    parts: the secret, the endpoint's URL or headers (``settings``), the event's data (``erased``),
    or the endpoint itself (``removed``).
    """

    url: str
    headers: Mapping[str, str]
    body: bytes | None
    body_bytes: int | None
    is_masked: bool
    differs: Sequence[Difference]


def sent_request(
    delivery: Delivery,
    attempt: Attempt,
    event: Event,
    endpoint: EndpointSettings | None,
    settings: WebhooksSettings,
    *,
    caller: Caller,
    now: datetime,
) -> SentRequest:
    """Rebuild the request of an attempt; ``endpoint`` is ``None`` when it was removed."""
    if endpoint is None:
        return SentRequest("", {}, None, None, False, ("removed",))  # noqa: FBT003 - a field
    then, differs = _as_it_was(endpoint, attempt.started_at, now)
    if event.purged:
        return SentRequest(then.url, _own_headers(then), None, None, False, (*differs, "erased"))  # noqa: FBT003 - a field
    message = write(_claimed(delivery, attempt, event), then, settings, attempt.started_at)
    body = message.body
    is_test = event.type == TEST_EVENT_TYPE.type  # it contains no patient data
    shown: Any = event.data if is_test else masked(caller, event.data)
    is_masked = shown != event.data
    if is_masked:
        hidden = msgspec.structs.replace(event, data=shown)
        body = write(_claimed(delivery, attempt, hidden), then, settings, attempt.started_at).body
    headers = {**message.headers, **_own_headers(then)}
    return SentRequest(then.url, headers, body, len(message.body), is_masked, differs)


def _as_it_was(
    endpoint: EndpointSettings, at: datetime, now: datetime
) -> tuple[EndpointSettings, tuple[Difference, ...]]:
    """Return the endpoint's known settings at ``at``, and the names of the unknown ones."""
    differs: list[Difference] = []
    current = endpoint.as_of(now)
    if current.secret_since is not None and at < current.secret_since:
        differs.append("secret")
    if current.changed_at is not None and at < current.changed_at:
        differs.append("settings")
    began = current.next_secret_since
    if current.next_secret is not None and began is not None and at < began:
        current = msgspec.structs.replace(current, next_secret=None, rotation_ends_at=None)
    return current, tuple(differs)


def _own_headers(endpoint: EndpointSettings) -> dict[str, str]:
    return dict.fromkeys(endpoint.headers, HIDDEN)


def _claimed(delivery: Delivery, attempt: Attempt, event: Event) -> ClaimedDelivery:
    return ClaimedDelivery(
        id=delivery.id,
        account_id=delivery.account_id,
        destination_id=delivery.destination_id,
        event=event,
        attempt=attempt.number,
        retry_index=0,
        lease="",
        created_at=delivery.created_at,
        first_attempt_at=delivery.first_attempt_at or attempt.started_at,
    )


def as_curl(sent: SentRequest) -> str:
    """Return the request as a curl command, with names in place of hidden values."""
    lines = [f"curl -X POST {_quoted(sent.url)}"]
    for name, value in sent.headers.items():
        shown = f"${name.upper().replace('-', '_')}" if value == HIDDEN else value
        lines.append(f"  -H {_quoted(f'{name}: {shown}', expands=value == HIDDEN)}")
    if sent.body is not None:
        lines.append(f"  --data-binary {_quoted(sent.body.decode())}")
    return " \\\n".join(lines)


def _quoted(text: str, *, expands: bool = False) -> str:
    if expands:
        return f'"{text}"'
    return "'{}'".format(text.replace("'", "'\\''"))
