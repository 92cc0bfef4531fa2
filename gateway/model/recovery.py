"""A recovery: events of some time ago, sent again to one destination, a few at a time."""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery's progress.

    ``looked_at`` counts events, ``queued`` those that are sent again because the
    destination wanted them and never had them.
    """

    id: str
    account_id: str
    destination_id: str
    since: datetime
    until: datetime
    cursor: str
    looked_at: int
    queued: int
    state: Literal["running", "done"]
    created_at: datetime
    finished_at: datetime | None


class Rehearsal(NamedTuple):
    """What a recovery would do. ``is_whole`` is false where only its first events were counted."""

    since: datetime
    until: datetime
    looked_at: int
    queued: int
    is_whole: bool
