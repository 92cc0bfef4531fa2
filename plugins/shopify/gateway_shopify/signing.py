"""Verify a webhook: base64 of the HMAC-SHA256 of the raw body with the app's secret.

https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence


def is_signed(body: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Return whether one of ``secrets`` signed ``body``, in constant time."""
    try:
        given = base64.b64decode(signature or "", validate=True)
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        return False
    good = [
        hmac.compare_digest(hmac.digest(secret.encode(), body, hashlib.sha256), given)
        for secret in secrets
    ]
    return any(good)
