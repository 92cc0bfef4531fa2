"""What needs a person of labels: drafts that wait; and the topic that pages watch."""

from collections.abc import Sequence

from gateway.plugin import (
    ATTENTION,
    TOPICS,
    AttentionItem,
    AttentionSource,
    Caller,
    Topic,
    from_epoch_ms,
)
from gateway_labels.store import ScanStore


def extensions_of(store: ScanStore, point: str) -> list[object]:
    """Return the plugin's records for an extension point of the core."""
    if point == TOPICS:
        return [Topic("scans", "labels.scan")]
    if point != ATTENTION:
        return []

    async def find(caller: Caller) -> Sequence[AttentionItem]:
        number, since = await store.count(caller, "draft")
        if not number or since is None:
            return []
        message = (
            "1 label was read and waits for a person."
            if number == 1
            else "{number} labels were read and wait for a person."
        )
        return [
            AttentionItem(
                "label_drafts",
                "drafts",
                message.format(number=number),
                from_epoch_ms(since),
                page="scan",
                button="Confirm",
                count=number,
                message=message,
                values={"number": str(number)},
            )
        ]

    return [AttentionSource("labels", "labels.scan", find)]
