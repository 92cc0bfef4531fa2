"""Check that a body is FHIR R4 with ``fhir.resources`` (the extra ``fhir``).

For these resources R4B equals R4.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.plugin import InvalidInput, Problem, UnsupportedMedia, decode

MEDIA_TYPE: Final = "application/fhir+json"
Resource = Mapping[str, Any]
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_MAX_PROBLEMS: Final = 20


def check_fhir(body: bytes) -> None:
    """Raise ``InvalidInput`` for invalid FHIR, ``UnsupportedMedia`` without the library.

    The library is imported when it is first needed; call this in a thread.
    """
    sent = decode(body, Any)
    kind = sent.get("resourceType") if isinstance(sent, dict) else None
    if not isinstance(kind, str) or kind not in {"Bundle", "MedicationRequest"}:
        raise InvalidInput("Send a FHIR Bundle or MedicationRequest: see resourceType.")
    try:
        module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
    except ImportError as error:
        raise UnsupportedMedia(
            "This gateway reads no FHIR yet: install rx-gateway[fhir] beside it, or send "
            "application/json."
        ) from error
    try:
        getattr(module, kind).model_validate_json(body)
    except (ValueError, LookupError, TypeError) as error:
        # The last two: the library looks up and formats a resourceType of any type.
        raise InvalidInput("The request body is not valid FHIR R4.", _problems(error)) from None


def _problems(error: Exception) -> list[Problem]:
    """Return the wrong places, without the library's messages, which may repeat a value."""
    found: Sequence[Mapping[str, Any]] = getattr(error, "errors", list)()
    places = dict.fromkeys(".".join(_part(each) for each in one["loc"]) for one in found)
    return [
        Problem("doesn't fit FHIR R4", field=place or None)
        for place in list(places)[:_MAX_PROBLEMS]
    ]


def _part(place: Any) -> str:
    text = str(place)
    return text if isinstance(place, int) or _NAME.fullmatch(text) else "…"


def unread(field: str, wanted: str) -> InvalidInput:
    """Return the error for a value that the library accepts with a wrong JSON type."""
    return InvalidInput(
        "A MedicationRequest cannot be read.", [Problem(f"must be {wanted}", field=field)]
    )


def refused(message: str, field: str | None = None, index: int | None = None) -> InvalidInput:
    """Return the error for a request that isn't an order to dispense."""
    text = "A MedicationRequest is no order to dispense."
    return InvalidInput(text, [Problem(message, index=index, field=field)])
