"""Changes, by which open pages refresh themselves. Ids and topics, no patient data."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.model.account import Mode


class Topic(NamedTuple):
    """A kind of changing things, and the permission that sees it.

    With ``by_site``, callers of some sites see the changes of these alone; otherwise those of the
    whole account.
    """

    name: str
    permission: str
    by_site: bool = True


class Change(NamedTuple):
    """Things of one topic that changed in a transaction.

    ``mode`` is ``None`` for things of both modes, ``site`` for things of no single site. ``ids``
    are ids of our own, never a patient's data. ``total`` is the number of things, if it differs
    from the number of ids.
    """

    topic: str
    account_id: str
    mode: Mode | None
    site: str | None
    ids: Sequence[str]
    total: int | None = None


CORE_TOPICS: Final = (
    Topic("packages", "packages.read"),
    Topic("events", "events.read"),
    Topic("deliveries", "webhooks.read"),
    Topic("endpoints", "webhooks.read"),
    Topic("keys", "keys.manage", by_site=False),
    Topic("people", "people.manage", by_site=False),
)
