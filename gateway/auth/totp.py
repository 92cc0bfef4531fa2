"""Codes from an authenticator (TOTP, RFC 6238) and recovery codes; each works once."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

DIGITS: Final = 6
STEP_SECONDS: Final = 30
RECOVERY_CODES: Final = 10
_SECRET_BYTES: Final = 20
_DRIFT_STEPS: Final = 1
_RECOVERY_LENGTH: Final = 16
# Crockford's alphabet: no I, L, O or U to confuse with 1, 0 or V.
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans("ILOU", "110V")


def new_secret() -> bytes:
    """Return a new secret of 160 bits, as long as SHA-1's output (RFC 4226, section 4)."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """Return the secret in base32, to type into an authenticator."""
    return base64.b32encode(secret).decode().rstrip("=")


def provisioning_uri(secret: bytes, *, issuer: str, account: str) -> str:
    """Return the ``otpauth://`` URI that the QR code holds."""
    query = urlencode({"secret": secret_text(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer, safe='')}:{quote(account, safe='@')}?{query}"


def qr_svg(uri: str) -> str:
    """Return the QR code of a URI as an SVG element, dark on white on any background."""
    import segno  # with the first code: few processes draw one

    image: str = segno.make(uri, error="m").svg_inline(
        scale=4, border=4, dark="#000", light="#fff", omitsize=True
    )
    return image


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a time step (RFC 4226, section 5.3)."""
    mac = hmac.digest(secret, step.to_bytes(8), "sha1")
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def step_of(moment: datetime) -> int:
    """Return the time step of a time."""
    return int(moment.timestamp()) // STEP_SECONDS


def matching_step(secret: bytes, code: str, now: datetime, last_step: int) -> int | None:
    """Return the step that ``code`` belongs to: now or one beside, and after ``last_step``."""
    given = "".join(code.split())
    found = None
    for step in range(step_of(now) - _DRIFT_STEPS, step_of(now) + _DRIFT_STEPS + 1):
        is_same = hmac.compare_digest(code_at(secret, step).encode(), given.encode())
        if is_same and step > last_step:
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Return ten codes of 80 bits, shown once: ``7QK4-M2XD-91ZT-H0PA``."""
    return [spell(_RECOVERY_LENGTH) for _ in range(RECOVERY_CODES)]


def spell(length: int) -> str:
    """Return ``length`` random letters and digits in groups of four; 5 bits each."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(length))
    return "-".join(text[start : start + 4] for start in range(0, length, 4))


def read_spelled(text: str) -> str:
    """Return typed text as :func:`spell` writes it, without groups; accepts small letters and I."""
    return "".join(each for each in text.upper() if each.isalnum()).translate(_READ_AS)


def is_recovery_code(text: str) -> bool:
    """Return whether a text has the form of a recovery code rather than of a TOTP code."""
    return len(read_spelled(text)) == _RECOVERY_LENGTH


def recovery_hash(code: str) -> bytes:
    """Return the SHA-256 of a recovery code: with 80 random bits a slow hash adds nothing."""
    return hashlib.sha256(read_spelled(code).encode()).digest()
