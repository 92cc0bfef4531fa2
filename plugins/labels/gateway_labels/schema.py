"""Request and response bodies of /api/labels."""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.plugin import OrderIn
from gateway_labels.fields.evidence import FoundField

State = Literal["reading", "draft", "failed", "confirmed", "refused", "expired"]
Verdict = Literal["good", "dark", "pale", "blurred", "small", "empty"]


class LabelIn(msgspec.Struct, frozen=True, kw_only=True):
    """A picture: the parts of a ``multipart/form-data`` body."""

    file: Annotated[bytes, Meta(description="JPEG, PNG, WebP or a PDF of one page, at most 8 MB")]
    site: Annotated[str | None, Meta(description="a site's code")] = None


class ScanStartedOut(msgspec.Struct, frozen=True):
    """The answer to a picture: ask for the scan until it isn't ``reading`` any more."""

    scan_id: str
    status: State


class QualityOut(msgspec.Struct, frozen=True):
    """The problem of a picture, and the remedy; ``good`` has no advice."""

    verdict: Verdict
    advice: str | None = None


class CodeOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bar code. ``kind``: the pharmacy's (it has an rx number), the maker's, or unknown."""

    format: str
    text: str
    kind: Literal["pharmacy", "maker", "unknown"]
    box: tuple[tuple[float, float], ...]
    pattern: str | None = None
    rx_number: str | None = None


class ExistingOut(msgspec.Struct, frozen=True):
    """A package that has the label's rx number already."""

    package_id: str
    status: str


class ScanOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scan. Boxes are in the pixels of ``picture``, of ``width`` by ``height``.

    ``draft`` is an order to correct and confirm; only a confirmation makes an order. ``error`` says
    why a picture could not be read. ``edited`` are the fields that were corrected.
    """

    scan_id: str
    status: State
    created_at: str
    site: str | None = None
    width: int = 0
    height: int = 0
    picture: str | None = None
    quality: QualityOut | None = None
    fields: list[FoundField] = []
    codes: list[CodeOut] = []
    draft: dict[str, Any] | None = None
    existing: ExistingOut | None = None
    package_id: str | None = None
    edited: list[str] = []
    error: str | None = None


class ScanItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scan in a list, without what was read."""

    scan_id: str
    status: State
    created_at: str
    site: str | None = None
    package_id: str | None = None


class ScansOut(msgspec.Struct, frozen=True):
    """A page of scans; ``next_cursor`` is null on the last page."""

    scans: list[ScanItem]
    next_cursor: str | None


class ConfirmIn(msgspec.Struct, frozen=True):
    """The order as a person confirms it."""

    order: OrderIn


class ConfirmBody(msgspec.Struct, frozen=True):
    """The same body before its order is validated."""

    order: Any


class Edit(msgspec.Struct, frozen=True):
    """A field that was corrected: its name, what was read, what was confirmed."""

    field: str
    before: str | None
    after: str | None


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sealed part of a scan."""

    width: int = 0
    height: int = 0
    quality: QualityOut | None = None
    fields: list[FoundField] = []
    codes: list[CodeOut] = []
    edits: list[Edit] = []
    error: str | None = None
    day: date | None = None
