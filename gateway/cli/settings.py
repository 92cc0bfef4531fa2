"""``gateway settings``: every setting as it is, where it comes from, and never a secret."""

from collections.abc import Mapping
from typing import Final

from gateway.cli.opening import read_settings
from gateway.sdk.cli import Session, command
from gateway.settings.effective import Shown, effective, effective_of_plugin

_COLUMNS: Final = ("table", "key", "value", "from")


@command("settings")
async def settings(session: Session) -> None:
    """Show every setting as it is and where it comes from; secrets are hidden.

    A default has nothing in the column "from"; a value of gateway.toml has "file" there, others
    the environment variable or the file that they were read from.
    """
    read = read_settings(session.config)
    found = effective(read)
    for name in read.plugins:
        found += effective_of_plugin(read, name)
    session.table(_COLUMNS, [_row(each) for each in found])


def _row(shown: Shown) -> Mapping[str, object]:
    value = shown.value
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else value
    return {"table": shown.table, "key": shown.name, "value": text, "from": shown.origin or None}
