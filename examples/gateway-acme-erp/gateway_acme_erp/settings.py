"""What ``[plugins.acme_erp]`` may say, and what is kept of a destination."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Postcode = Annotated[str, Meta(pattern=r"^\d{5}$")]


class AcmeErpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the ERP is reached, and where is delivered to.

    ``bridge_url`` is the operator's own word, so it may lie in a private network;
    nobody can set it from outside. Without ``postcodes`` everywhere is delivered to.
    """

    bridge_url: str
    token: str
    postcodes: tuple[Postcode, ...] = ()
    poll_seconds: Annotated[float, Meta(gt=0)] = 60.0

    def __post_init__(self) -> None:
        """Say what is wrong, without the value; the part before the colon names the key."""
        try:
            parts = urlsplit(self.bridge_url)
            good = parts.scheme in {"http", "https"} and parts.hostname and not parts.query
        except ValueError:
            good = False
        if not good:
            raise ValueError("bridge_url: expected an address such as https://erp.example.com")


class ErpStore(msgspec.Struct, frozen=True):
    """What only the sink knows of a destination: which of ACME's stores it is."""

    store: str
