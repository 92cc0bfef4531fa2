"""Settings of ``[plugins.reports]``."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

_Days = Annotated[int, Meta(ge=1, le=365)]
_MAX_PAYERS: Final = 200


class ReportsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an undelivered bag goes back to stock.

    ``return_days`` count from the earliest fill date of the bag, or from the order. With
    ``business_days`` Saturdays and Sundays don't count. ``payers`` are the days of payers with
    their own number; the payer is the value of ``payer_metadata`` in the order's metadata, in any
    case.
    """

    return_days: _Days = 10
    business_days: bool = False
    payer_metadata: Annotated[str, Meta(min_length=1, max_length=100)] = "payer"
    payers: Annotated[Mapping[str, _Days], Meta(max_length=_MAX_PAYERS)] = {}

    def days_of(self, payer: str | None) -> int:
        """Return how many days a bag of ``payer`` may stay undelivered."""
        wanted = "" if payer is None else payer.strip().casefold()
        for name, days in self.payers.items():
            if name.strip().casefold() == wanted:
                return days
        return self.return_days
