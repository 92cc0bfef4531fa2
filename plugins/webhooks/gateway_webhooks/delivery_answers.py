"""Convert look-ups of deliveries into the HTTP shapes. Pure."""

from collections.abc import Sequence

import msgspec

from gateway.plugin import Caller, Delivery, Destination, Rehearsal, explanation, timestamp
from gateway_webhooks.deliveries import Inspected, Learned
from gateway_webhooks.mapping import attempt_out
from gateway_webhooks.schema import (
    DeliverySummaryOut,
    FieldsOut,
    InspectionOut,
    LearnedOut,
    QuarterOut,
    RehearsalOut,
    RequestOut,
    StatisticsOut,
)
from gateway_webhooks.statistics import Statistics


def summary_out(delivery: Delivery) -> DeliverySummaryOut:
    """Convert a delivery for a list."""
    return DeliverySummaryOut(
        id=delivery.id,
        endpoint_id=delivery.destination_id,
        event_id=delivery.event_id,
        event=delivery.event_type,
        subject=delivery.subject,
        state=delivery.state,
        reason=delivery.reason,
        explanation=explanation(delivery.reason),
        attempts=delivery.attempts,
        next_attempt_at=timestamp(delivery.due_at),
        created_at=timestamp(delivery.created_at),
        finished_at=timestamp(delivery.finished_at),
    )


def inspection_out(found: Inspected, caller: Caller) -> InspectionOut:
    """Convert an attempt with its request."""
    sent = found.sent
    attempt = attempt_out(found.attempt, caller)
    return InspectionOut(
        **msgspec.structs.asdict(attempt),
        request=RequestOut(
            method="POST",
            url=sent.url,
            headers=dict(sent.headers),
            body=None if sent.body is None else sent.body.decode(),
            body_bytes=sent.body_bytes,
            is_masked=sent.is_masked,
            differs=list(sent.differs),
        ),
    )


def statistics_out(endpoint_id: str, found: Statistics) -> StatisticsOut:
    """Convert an endpoint's last hours."""
    return StatisticsOut(
        endpoint_id=endpoint_id,
        since=timestamp(found.since),
        until=timestamp(found.until),
        is_whole=found.is_whole,
        delivered=found.delivered,
        failed=found.failed,
        success=found.success,
        p95_ms=found.p95_ms,
        waiting=found.waiting.total,
        waiting_has_more=found.waiting.has_more,
        oldest_waiting_at=timestamp(found.waiting.oldest_at),
        next_attempt_at=timestamp(found.waiting.next_due_at),
        quarters=[
            QuarterOut(
                start=timestamp(each.start),
                delivered=each.delivered,
                failed=each.failed,
                p95_ms=each.p95_ms,
            )
            for each in found.quarters
        ],
    )


def fields_out(endpoint: Destination, learned: Sequence[Learned]) -> FieldsOut:
    """Convert the sent fields."""
    return FieldsOut(
        endpoint.id,
        [
            LearnedOut(event=each.event.type, meaning=each.event.meaning, fields=dict(each.fields))
            for each in learned
        ],
    )


def rehearsal_out(endpoint: Destination, found: Rehearsal) -> RehearsalOut:
    """Convert the count of a recovery that wasn't started."""
    return RehearsalOut(
        endpoint_id=endpoint.id,
        since=timestamp(found.since),
        until=timestamp(found.until),
        looked_at=found.looked_at,
        would_queue=found.queued,
        is_whole=found.is_whole,
        max_per_second=endpoint.max_per_second,
    )
