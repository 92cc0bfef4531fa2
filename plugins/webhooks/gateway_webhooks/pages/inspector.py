"""The inspector: one attempt with request, response, signature, timing, and another beside it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Attempt,
    Caller,
    Formats,
    Gateway,
    NotFound,
    PageRequest,
)
from gateway_webhooks.deliveries import Deliveries, Inspected
from gateway_webhooks.inspection import as_curl
from gateway_webhooks.mapping import TEST_EVENT_TYPE, settings_of
from gateway_webhooks.pages.words import Shown, advice, answer, delivery_state

_REVEALING: Final = frozenset({REVEAL_CONTACT, REVEAL_RX})
_SECRET_SHOWN: Final = 4
_MAX_TRIES: Final = 40


class Compared(NamedTuple):
    """A fact of two attempts; ``differs`` is true when it isn't the same."""

    name: str
    one: str
    other: str
    differs: bool


class Try(NamedTuple):
    """One place in the row of attempts: made (``no``, ``yes``), next (``nx``) or not yet."""

    kind: str


def masked_caller(caller: Caller) -> Caller:
    """Return the caller without the reveal permissions: opening a page reveals nothing."""
    return msgspec.structs.replace(caller, permissions=caller.permissions - _REVEALING)


class Inspector:
    """Reads the data of the inspector."""

    def __init__(self, gateway: Gateway, deliveries: Deliveries) -> None:
        self._gateway = gateway
        self._deliveries = deliveries

    async def shown(
        self, request: PageRequest, delivery_id: str, number: str, *, revealed: bool = False
    ) -> Mapping[str, Any] | None:
        """Return the data of an attempt; ``None`` for a missing one.

        ``revealed`` shows the patient's data, and is audited.
        """
        caller = request.caller if revealed else masked_caller(request.caller)
        wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else None  # noqa: PLR2004 - digits
        try:
            found = await self._deliveries.attempt(caller, delivery_id, wanted)
        except NotFound:
            return None
        return self._context(request, caller, found, revealed=revealed)

    def _context(
        self, request: PageRequest, caller: Caller, found: Inspected, *, revealed: bool
    ) -> Mapping[str, Any]:
        text = request.text
        delivery, attempt, sent = found.delivery, found.attempt, found.sent
        is_test = attempt.event_type == TEST_EVENT_TYPE.type
        settings = None if found.endpoint is None else settings_of(found.endpoint)
        table = self._gateway.settings.delivery
        other = _other(found.attempts, attempt, request.query.get("compare"))
        return {
            "delivery": delivery,
            "attempt": attempt,
            "attempts": found.attempts,
            "endpoint": found.endpoint,
            "state": delivery_state(delivery, text),
            "answer": answer(attempt, text),
            "time": stamp(request.formats, attempt.started_at),
            "advice": advice(attempt, text),
            "timeout_seconds": table.timeout_seconds,
            "response": attempt.excerpt if is_test or caller.reveals else None,
            "has_response": bool(attempt.excerpt),
            "sent": sent,
            "path": _path_of(sent.url),
            "body": pretty(sent.body),
            "curl": as_curl(sent) if sent.url else "",
            "format": None if settings is None else settings.format,
            "is_public_key": settings is not None and settings.signature == "v1a",
            "secret": None if settings is None else f"whsec_••••{settings.secret[-_SECRET_SHOWN:]}",
            "secret_since": None if settings is None else settings.secret_since,
            "tries": _tries(found, len(table.retry_schedule_seconds) + 1),
            "gives_up_at": (delivery.first_attempt_at or attempt.started_at)
            + timedelta(seconds=table.give_up_after_seconds),
            "differs": list(sent.differs),
            "is_revealed": revealed,
            "may_reveal": not revealed
            and request.caller.reveals
            and (sent.is_masked or (bool(attempt.excerpt) and not is_test)),
            "other": other,
            "compared": [] if other is None else self._compared(request, caller, found, other),
            "package": delivery.subject if delivery.subject.startswith("pkg_") else None,
        }

    @staticmethod
    def _compared(
        request: PageRequest, caller: Caller, found: Inspected, other: Attempt
    ) -> list[Compared]:
        text, one = request.text, found.attempt
        is_shown = caller.reveals or one.event_type == TEST_EVENT_TYPE.type
        pairs = [
            (text("Answer"), answer(one, text).words, answer(other, text).words),
            (text("Took"), f"{one.duration_ms} ms", f"{other.duration_ms} ms"),
        ]
        if is_shown:
            pairs.append((text("Response"), one.excerpt, other.excerpt))
        else:
            sizes = [len(each.excerpt.encode()) for each in (one, other)]
            pairs.append((text("Bytes of the response"), str(sizes[0]), str(sizes[1])))
        return [Compared(name, a, b, a != b) for name, a, b in pairs]


def stamp(formats: Formats, moment: datetime) -> str:
    """Return a time of today to the second, an older one in the usual form."""
    at = formats.local(moment)
    return f"{at:%H:%M:%S}" if at.date() == formats.today else formats.time(moment)


def _other(attempts: Sequence[Attempt], shown: Attempt, number: str) -> Attempt | None:
    return next(
        (each for each in attempts if str(each.number) == number and each.number != shown.number),
        None,
    )


def _tries(found: Inspected, planned: int) -> list[Try]:
    """Return the attempts made, the next one and those that may follow."""
    made = [Try("yes" if each.delivered else "no") for each in found.attempts][-_MAX_TRIES:]
    if found.delivery.state != "pending":
        return made
    rest = max(0, planned - len(made) - 1)
    return [*made, Try("nx"), *[Try("")] * rest]


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def pretty(body: bytes | None) -> str:
    """Return a JSON body with line breaks; what isn't JSON as it is."""
    if body is None:
        return ""
    try:
        return msgspec.json.format(body, indent=2).decode()
    except msgspec.DecodeError:
        return body.decode(errors="replace")


__all__ = ["Inspector", "Shown", "masked_caller", "pretty"]
