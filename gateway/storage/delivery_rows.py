"""What the outbox is handed, and in which columns it is written down."""

from typing import Final, NamedTuple

from gateway.model.delivery import ClaimedDelivery, Outcome


class NewDelivery(NamedTuple):
    """One event for one destination, about to be queued."""

    account_id: str
    destination_id: str
    event_id: str
    event_type: str
    subject: str
    in_order: bool


NEW_DELIVERY: Final = (
    "id",
    *NewDelivery._fields,
    *("state", "attempts", "retry_index", "due_at_ms", "created_at_ms"),
)


NEW_ATTEMPT: Final = (
    *("account_id", "destination_id", "delivery_id", "event_id", "event_type", "number"),
    *("started_at_ms", "duration_ms", "delivered", "status", "error", "excerpt"),
)


class Settled(NamedTuple):
    """A try that is over: whose it was, how it went, and when the next is due.

    ``next_due_ms`` is ``None`` when there is no next one: it was delivered, or given up.
    """

    delivery: ClaimedDelivery
    outcome: Outcome
    next_due_ms: int | None
