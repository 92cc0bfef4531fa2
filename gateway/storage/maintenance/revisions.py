"""The newest revisions of the migration files, read without importing any of them.

A start with an up-to-date database needs only these: importing Alembic, Mako and all migrations
would take a tenth of the time of a start and of the memory of an idle server.
"""

import re
from ast import literal_eval
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_ASSIGNED: Final = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*(.+)$", re.MULTILINE)


def heads_in(folders: Iterable[Path]) -> set[str] | None:
    """Return the revisions without a successor; ``None`` when a file isn't in the usual form.

    That is the form of Alembic's template: ``revision = "core_0002"`` and ``down_revision``.
    """
    revisions: set[str] = set()
    followed: set[str] = set()
    for path in (path for folder in folders for path in folder.glob("*.py")):
        if path.name.startswith("__init__"):
            continue
        try:
            said: dict[str, Any] = {
                name: literal_eval(value)
                for name, value in _ASSIGNED.findall(path.read_text(encoding="utf-8"))
            }
            revision, down = said["revision"], said["down_revision"]
        except (KeyError, ValueError, SyntaxError):  # a UnicodeDecodeError is a ValueError
            return None
        revisions.add(revision)
        followed.update((down,) if isinstance(down, str) else down or ())
    return revisions - followed
