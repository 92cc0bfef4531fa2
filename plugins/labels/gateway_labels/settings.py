"""Settings of ``[plugins.labels]``."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway_labels.codes import CodePattern, pattern_of

DEFAULT_CODES: Final = (
    "{rx:6-8}",
    "{rx:7}{store:4}",
    "{rx:8}{fill:4}",
    "{rx:7}{store:4}{ncpdp:7}",
)


class LabelsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``codes`` are the patterns of your labels' bar codes: ``gateway labels code`` tries them.

    ``draft_days``: a draft that no one confirmed is erased after so many. ``picture_days``: the
    picture of a label is erased so many days after it was confirmed or refused. ``keep_drug``:
    the drug's name and number are read and kept, too. ``waiting_most``: so many pictures may wait
    to be read. ``reading_seconds``: the most that reading one may take. ``idle_seconds``: the
    process that reads, and the 500 MB it takes, end after so long without a picture.
    """

    codes: tuple[str, ...] = DEFAULT_CODES
    draft_days: Annotated[int, Meta(ge=1, le=30)] = 3
    picture_days: Annotated[int, Meta(ge=1, le=90)] = 7
    keep_drug: bool = False
    waiting_most: Annotated[int, Meta(ge=1, le=1000)] = 20
    reading_seconds: Annotated[int, Meta(ge=5, le=300)] = 90
    idle_seconds: Annotated[int, Meta(ge=30, le=86400)] = 600

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for an invalid pattern."""
        for each in self.codes:
            try:
                pattern_of(each)
            except ValueError as error:
                raise ValueError(f"codes: {error}") from None

    def patterns(self) -> tuple[CodePattern, ...]:
        """Return the patterns, ready to match."""
        return tuple(map(pattern_of, self.codes))
