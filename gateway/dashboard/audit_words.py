"""Words for rows of the audit trail: the action, the interface, the shown fields, the purpose."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from gateway.dashboard.package_groups import _
from gateway.dashboard.pages.package import FIELDS, PURPOSES, VIA
from gateway.sdk.page_request import PageRequest
from gateway.storage.stores.access_reports import AuditRow
from gateway.storage.stores.disclosures import ledger_rows

KINDS: Final[Mapping[str, str]] = {
    "view": _("Opened"),
    "reveal": _("Revealed"),
    "list": _("Listed"),
    "search": _("Searched for"),
    "create": _("Added"),
    "change": _("Changed"),
    "export": _("Exported"),
    "print": _("Printed"),
    "disclose": _("Sent to another party"),
    "sign_in": _("Signed in"),
    "denied": _("Refused"),
}
WHY: Final[Mapping[str, str]] = {
    **{str(name): words for name, words in PURPOSES.items()},
    "emergency": _("Emergency"),
}
_PACKAGE: Final = "pkg_"


class Line(NamedTuple):
    """A row as a page shows it. ``href`` leads to the package, where the reader may see it."""

    row: AuditRow
    at: datetime
    who: str
    via: str
    done: str
    shown: str
    why: str
    subject: str
    href: str


def line_of(request: PageRequest, row: AuditRow, names: Mapping[str, str]) -> Line:
    """Return a row in the reader's words."""
    is_package = row.subject.startswith(_PACKAGE)
    may_open = is_package and request.caller.may("packages.read")
    return Line(
        row=row,
        at=datetime.fromisoformat(row.at),
        who=names.get(row.actor, row.actor),
        via=_said(request, VIA, row.via),
        done=_said(request, KINDS, row.kind or "change"),
        shown=", ".join(request.text(FIELDS.get(each, each)) for each in row.fields),
        why=_said(request, WHY, row.purpose),
        subject=f"…{row.subject[-6:]}" if is_package else _subject(request, row),
        href=request.url(f"packages/{row.subject}") if may_open else "",
    )


def _subject(request: PageRequest, row: AuditRow) -> str:
    covered = ledger_rows(row.action, row.subject)
    if covered is not None:
        return request.ntext(
            "{n} entry, by its checksum", "{n} entries, by their checksum", covered
        )
    # The searched value follows a colon, as an index, which is unreadable.
    return row.subject.partition(":")[0]


def _said(request: PageRequest, words: Mapping[str, str], code: str | None) -> str:
    found = words.get(code or "")
    return request.text(found) if found else ""
