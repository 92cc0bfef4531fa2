"""Request and response bodies, and the event types.

Each event goes to one recipient of mails only, never to webhooks.
"""

from typing import Any, Final

import msgspec

from gateway.plugin import EventType
from gateway_email.letter import NEEDED, OVER, TEST


class RecipientIn(msgspec.Struct, forbid_unknown_fields=True):
    """A recipient to add."""

    address: str
    events: tuple[str, ...] = ()
    attention: bool = True
    site: str | None = None


class RecipientOut(msgspec.Struct):
    """A recipient."""

    id: str
    address: str
    site: str | None
    attention: bool
    events: tuple[str, ...]
    state: str
    last_success_at: str | None


class RecipientsOut(msgspec.Struct):
    """All recipients, oldest first."""

    recipients: tuple[RecipientOut, ...]


_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_SAMPLE: Final = {
    "kind": "endpoint_failing",
    "text": "The endpoint board fails; its webhooks are kept and tried again.",
    "since": "2026-04-19T18:42:10Z",
    "command": "gateway deliveries list --endpoint dst_0199",
    "page": "endpoints/dst_0199",
}
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "kind": _TEXT,
        "text": _TEXT,
        "since": _MAYBE,
        "command": _MAYBE,
        "page": _MAYBE,
    },
    "required": ["kind", "text", "since", "command"],
}

_SHOWN: Final = tuple(_SAMPLE)  # never patient data

EVENT_TYPES: Final = (
    EventType(
        type=NEEDED,
        meaning="Something needs a person.",
        headline="Something needs a person",
        icon="s-warn",
        state="warn",
        sample=_SAMPLE,
        schema=_SCHEMA,
        shown=_SHOWN,
    ),
    EventType(
        type=OVER,
        meaning="What needed a person has ended.",
        headline="No person is needed any more",
        icon="i-check",
        sample={**_SAMPLE, "command": None, "page": None},
        schema=_SCHEMA,
        shown=_SHOWN,
    ),
    EventType(
        type=TEST,
        meaning="A test of a recipient of mails.",
        headline="Test of a recipient of mails",
        sample={},
        schema={"type": "object"},
    ),
)
