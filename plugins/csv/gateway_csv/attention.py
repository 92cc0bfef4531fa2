"""The attention source of imports (rejected rows), and the topic that pages watch."""

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
from gateway_csv.page_words import _
from gateway_csv.service import ImportService

_ONE: Final = _("{count} row of an import was left out: fetch it, correct it, and import it again.")
_MANY: Final = _(
    "{count} rows of an import were left out: fetch them, correct them, and import them again."
)


def extensions_of(service: ImportService, point: str) -> list[object]:
    """Return the plugin's records for an extension point of the core."""
    if point == TOPICS:
        return [Topic("imports", "imports.run")]
    if point == SOURCES:
        return [OrderSource("csv", "Import")]
    return [attention(service)] if point == ATTENTION else []


def attention(service: ImportService) -> AttentionSource:
    """Return the attention source."""

    async def find(caller: Caller) -> Sequence[AttentionItem]:
        items = []
        for row in await service.store.with_rejected(caller):
            message = _ONE if row.rejected == 1 else _MANY
            values = {"count": f"{row.rejected}"}
            items.append(
                AttentionItem(
                    "import_rejected",
                    row.id,
                    message.format(**values),
                    None if row.finished_at_ms is None else from_epoch_ms(row.finished_at_ms),
                    row.site,
                    message=message,
                    values=values,
                    page=f"import/{row.id}",
                    button="Show it" if row.rejected == 1 else "Show them",
                    count=row.rejected,
                )
            )
        return items

    return AttentionSource("imports", "imports.run", find)
