"""JSON in and out, in the one way that the gateway speaks it.

Out: UTF-8, compact, decimals as numbers with their places (``12.50``), times in UTC
with a ``Z``. In: a body is read as a type, and what doesn't fit is an
``InvalidInput`` that names fields, never values.
"""

import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import msgspec

from gateway.clock import isoformat
from gateway.errors import InvalidInput, Problem

T = TypeVar("T")

# msgspec's sentences. A path is made of our own field names; the text before it may hold
# anything that was sent, quotes and a made-up path included.
_AT: Final = re.compile(r" - at (?:`key` in )?`\$\.?([\w.\[\]]*)`\Z")
_VALUE: Final = re.compile(r"(Invalid (?:enum )?value) .*", re.DOTALL)
_UNKNOWN: Final = "Object contains unknown field "
# A field's name is shown back only when it looks like one: a name, not a person's.
_UNKNOWN_NAME: Final = re.compile(r"`([A-Za-z][A-Za-z0-9_.-]{0,63})`(?: - at `\$[\w.\[\]]*`)?")
_QUOTED: Final = re.compile(r"'[^']*'")


def _plain(value: Any) -> Any:
    """Refuse values that are no JSON, by their type and not their value."""
    raise NotImplementedError(type(value).__name__)  # what msgspec asks an enc_hook to raise


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain)


def encode(value: Any) -> bytes:
    """Write ``value`` as compact JSON."""
    return _ENCODER.encode(value)


def timestamp(moment: datetime | None) -> str | None:
    """Write a moment as ``2026-04-19T18:42:10Z``."""
    return None if moment is None else isoformat(moment)


@lru_cache(maxsize=256)
def _decoder(into: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(into, float_hook=Decimal)


def decode(body: bytes, into: type[T]) -> T:
    """Read a JSON body as ``into``; raises ``InvalidInput`` that names the field at fault.

    Where ``into`` leaves a value open (``Any``), a number with a fraction is a Decimal
    with the places it was sent with.
    """
    try:
        read: T = _decoder(cast("type", into)).decode(body)
    except msgspec.ValidationError as error:
        problem = problem_of(error)
        raise InvalidInput("The request body doesn't fit.", [problem]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        raise InvalidInput("The request body is not valid JSON.") from None
    return read


def problem_of(error: msgspec.ValidationError) -> Problem:
    """Turn msgspec's sentence into ours: the field apart, and no value repeated."""
    text = str(error)
    if text.startswith(_UNKNOWN):
        name = _UNKNOWN_NAME.fullmatch(text, len(_UNKNOWN))
        return Problem(_UNKNOWN + (name.group(1) if name else "…"))
    found = _AT.search(text)
    sentence = _VALUE.sub(r"\1 …", text[: found.start()] if found else text)
    message = _QUOTED.sub("…", sentence).replace("`", "")
    return Problem(message, field=found.group(1) or None if found else None)
