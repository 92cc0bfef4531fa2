"""A job as the courier's API takes it (POST and PUT /v1/jobs)."""

from datetime import date

import msgspec


class Recipient(msgspec.Struct, frozen=True, omit_defaults=True):
    """To whom a driver goes. What a courier needs to find the door, and nothing of the drug."""

    name: str
    address: str
    phone: str | None = None


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One delivery. ``reference`` is ours: the package's id, which their answers repeat."""

    reference: str
    depot: str
    recipient: Recipient
    speed: str = "standard"
    signature: bool = False
    day: date | None = None
