"""The attention source of labels (drafts), and the topic that pages watch."""

from collections.abc import Sequence
from typing import Final

from gateway.plugin import (
    ATTENTION,
    SOURCES,
    TOPICS,
    AttentionItem,
    AttentionSource,
    Caller,
    OrderSource,
    Topic,
    from_epoch_ms,
)
from gateway_labels.store import ScanStore


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


_ONE: Final = _("1 label was read and waits for a person.")
_SEVERAL: Final = _("{number} labels were read and wait for a person.")


def extensions_of(store: ScanStore, point: str) -> list[object]:
    """Return the plugin's records for an extension point of the core."""
    if point == TOPICS:
        return [Topic("scans", "labels.scan")]
    if point == SOURCES:
        return [OrderSource("label", "Label")]
    if point != ATTENTION:
        return []

    async def find(caller: Caller) -> Sequence[AttentionItem]:
        number, since = await store.count(caller, "draft")
        if not number or since is None:
            return []
        message = _ONE if number == 1 else _SEVERAL
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
