"""What ``[plugins.courier]`` may say, and what a destination holds."""

from typing import Annotated

import msgspec
from msgspec import Meta


class CourierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``api_url`` is where the courier's API begins; the two others are the client's there."""

    api_url: str
    client_id: Annotated[str, Meta(min_length=1)]
    client_secret: Annotated[str, Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse what could never work; the part before the colon names the key."""
        if not self.api_url.startswith(("https://", "http://")):
            raise ValueError("api_url: expected an address that begins with https://")


class CourierDestination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pharmacy at the courier: ``depot`` is where its drivers collect. Sealed when stored."""

    depot: Annotated[str, Meta(min_length=1, max_length=40)]
