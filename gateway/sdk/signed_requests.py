"""Check the signature of a request from another system, such as an incoming webhook.

A public route has no API key; its sender signs the body with a shared secret. Most systems use HMAC
and differ in the header of the signature, its encoding, and whether the time is signed with it. A
:class:`SignatureScheme` describes these; :func:`signed_request` checks one request:

.. code-block:: python

    STRIPE = SignatureScheme("Stripe-Signature", signed="{timestamp}.{body}",
                             timestamp_key="t", signature_key="v1")
    SHOP = SignatureScheme("X-Shop-Signature", encoding="base64")
    STANDARD = SignatureScheme("webhook-signature", encoding="base64",
                               signed="{id}.{timestamp}.{body}", id_header="webhook-id",
                               timestamp_header="webhook-timestamp", prefix="v1,")
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from gateway.errors import NotAuthenticated

_PIECES: Final = re.compile(r"(\{body\}|\{timestamp\}|\{id\})")
_DIGITS: Final = re.compile(r"\d{1,15}", re.ASCII)
_MOST_SIGNATURES: Final = 10
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A timestamp this large is in milliseconds: in seconds it would be the year 5138."""


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How a sender signs its requests, with HMAC.

    ``header`` holds the signature, in ``encoding``, behind ``prefix`` if there is one. ``signed``
    is the signed text: ``{body}``, with ``{timestamp}`` and ``{id}`` where the sender includes
    them. The timestamp (seconds or milliseconds since 1970) comes from ``timestamp_header``, or
    from the item ``timestamp_key`` of the header itself, where the header is a list such as
    ``t=1700000000,v1=…``; ``signature_key`` names the signatures in that list. Several signatures,
    separated by commas or spaces, are each tried: the sender may be rotating its secret.

    A timestamp may be ``tolerance_seconds`` from now, either way. Without one in ``signed`` a
    recorded request can be sent again at any time: make a repetition harmless, by the sender's id.
    """

    header: str
    encoding: Literal["hex", "base64"] = "hex"
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    signed: str = "{body}"
    prefix: str = ""
    timestamp_header: str | None = None
    timestamp_key: str | None = None
    signature_key: str | None = None
    id_header: str | None = None
    tolerance_seconds: float = 300.0


def signed_request(
    scheme: SignatureScheme,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str | bytes],
    now: datetime,
) -> None:
    """Return if one of ``secrets`` signed this request; raise ``NotAuthenticated`` otherwise.

    ``headers`` are the request's (``request.headers``), ``body`` its exact bytes (``RawBody``). The
    message names the missing or wrong part, never a value. Comparison takes constant time. Raises
    ``ValueError`` without a secret to check with, because an empty one would match any forgery.
    """
    if not secrets or not all(secrets):
        raise ValueError("a signature is checked with at least one secret, and none that is empty")
    text = headers.get(scheme.header)
    if text is None:
        raise NotAuthenticated(f"The header {scheme.header} is missing; sign the request.")
    listed = _listed(text) if scheme.signature_key or scheme.timestamp_key else []
    timestamp = _timestamp(scheme, headers, listed)
    if timestamp is not None:
        _check_time(scheme, timestamp, now)
    message = _message(scheme, headers, timestamp, body)
    found = list(_signatures(scheme, text, listed))
    digests = [
        hmac.new(each.encode() if isinstance(each, str) else each, message, scheme.algorithm)
        for each in secrets
    ]
    # All pairs are compared, so that the time doesn't reveal which one matches.
    fits = [hmac.compare_digest(each.digest(), given) for each in digests for given in found]
    if not any(fits):
        raise NotAuthenticated(
            f"The signature in {scheme.header} doesn't fit: see that both sides have the same "
            "secret, and that the body is signed byte for byte."
        )


def signed_headers(
    scheme: SignatureScheme,
    body: bytes,
    secret: str | bytes,
    now: datetime,
    message_id: str = "msg_1",
) -> dict[str, str]:
    """Return the headers that a sender of this scheme adds to ``body``, for tests and replays.

    ``message_id`` is the value of ``id_header`` where the scheme has one.
    """
    timestamp = str(int(now.timestamp()))
    headers: dict[str, str] = {}
    if scheme.timestamp_header is not None:
        headers[scheme.timestamp_header] = timestamp
    if scheme.id_header is not None:
        headers[scheme.id_header] = message_id
    key = secret.encode() if isinstance(secret, str) else secret
    mac = hmac.new(key, _message(scheme, headers, timestamp, body), scheme.algorithm).digest()
    text = mac.hex() if scheme.encoding == "hex" else base64.b64encode(mac).decode()
    signature = scheme.prefix + text
    if scheme.signature_key is not None:
        signature = f"{scheme.signature_key}={signature}"
    if scheme.timestamp_key is not None:
        signature = f"{scheme.timestamp_key}={timestamp},{signature}"
    return {**headers, scheme.header: signature}


def _listed(text: str) -> list[tuple[str, str]]:
    """Read ``t=1,v1=a,v1=b``."""
    pairs = (each.strip().partition("=") for each in text.split(","))
    return [(key, value) for key, _, value in pairs]


def _timestamp(
    scheme: SignatureScheme, headers: Mapping[str, str], listed: Sequence[tuple[str, str]]
) -> str | None:
    if scheme.timestamp_key is not None:
        return next((value for key, value in listed if key == scheme.timestamp_key), "")
    if scheme.timestamp_header is not None:
        return headers.get(scheme.timestamp_header, "")
    return None


def _check_time(scheme: SignatureScheme, timestamp: str, now: datetime) -> None:
    if not _DIGITS.fullmatch(timestamp):
        raise NotAuthenticated("The timestamp of the signature is missing or no number.")
    seconds = float(timestamp)
    if seconds >= _MILLISECONDS_FROM:
        seconds /= 1000
    if abs(now.timestamp() - seconds) > scheme.tolerance_seconds:
        raise NotAuthenticated(
            f"The signature is more than {scheme.tolerance_seconds:g} seconds old or ahead: see "
            "that both clocks are right; sign a request again each time it is sent."
        )


def _message(
    scheme: SignatureScheme, headers: Mapping[str, str], timestamp: str | None, body: bytes
) -> bytes:
    given = {"{body}": body, "{timestamp}": (timestamp or "").encode()}
    if scheme.id_header is not None:
        given["{id}"] = headers.get(scheme.id_header, "").encode("utf-8", "surrogateescape")
    return b"".join(given.get(part, part.encode()) for part in _PIECES.split(scheme.signed))


def _signatures(
    scheme: SignatureScheme, text: str, listed: Sequence[tuple[str, str]]
) -> Iterator[bytes]:
    """Yield the signatures of a header, decoded, without undecodable ones."""
    if scheme.signature_key is not None:
        found = [value for key, value in listed if key == scheme.signature_key]
    elif "," in scheme.prefix:
        found = text.split()
    else:
        found = re.split(r"[,\s]+", text.strip())
    for each in found[:_MOST_SIGNATURES]:
        if not each.startswith(scheme.prefix):
            continue
        signature = _decoded(scheme, each.removeprefix(scheme.prefix))
        if signature is not None:
            yield signature


def _decoded(scheme: SignatureScheme, text: str) -> bytes | None:
    try:
        if scheme.encoding == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
