"""``gateway attention``: list what needs a person."""

from datetime import datetime
from typing import Final

from gateway.cli.opening import caller_of, many_rows
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command
from gateway.sdk.records import TIMES, AttentionDetail

_COLUMNS: Final = ("since", "kind", "site", "text", "command")


def said(detail: AttentionDetail) -> str:
    """Return a detail of an item for output, times in ISO 8601."""
    values = {
        name: timestamp(value) if isinstance(value, datetime) else value
        for name, value in detail.values.items()
    }
    text = detail.message.format(**values)
    return text if detail.count is None else f"{detail.count} {TIMES} {text}"


@command("attention")
@many_rows
async def attention(session: Session, *, site: str | None, account: str, test_data: bool) -> None:
    """List what needs a person: failing endpoints, held orders, prescriptions to review.

    The list has no patient data. Each row names the command that shows more or mends it.
    """
    caller = caller_of(session, account, test_data=test_data, site=site)
    async with session.gateway() as gateway:
        found = await gateway.attention.of(caller)
    rows = [
        {
            "since": timestamp(each.since),
            "kind": each.kind,
            "site": each.site,
            "text": each.text,
            "details": [said(part) for part in each.details],
            "command": each.command,
            "subject": each.subject,
        }
        for each in found
    ]
    if not rows and not session.as_json:
        session.say("Nothing needs a person.")
        return
    session.table(_COLUMNS, rows)
