"""Copies the pages of a PDF and nothing else; runs in the sandbox (``gateway.sandbox.reader``).

The visible parts of a page stay: its content, fonts and pictures. Active parts of the document are
dropped: scripts, actions, links, attachments, metadata. A page that also shows something that isn't
page content (a form's fields, a comment, a layer) is refused rather than copied without it.

It yields ``{"pages": n}``, then the new file in pieces.
"""

import io
import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import pypdf
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, StreamObject

_PIECE_BYTES: Final = 65_000
_MOST_PAGES: Final = 200
_MOST_OBJECTS: Final = 100_000
_OF_A_PAGE: Final = frozenset(
    {"/Type", "/Parent", "/MediaBox", "/CropBox", "/Rotate", "/Resources", "/Contents", "/UserUnit"}
)
_NOTHING_LOST: Final = frozenset({"/Link", "/Popup"})
"""Annotations without visible content."""
# Keys that start an action, or lead out of the document, at any place.
_ACTIVE: Final = frozenset(
    {
        *("/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/URI"),
        *("/RichMedia", "/EmbeddedFile", "/Movie", "/Sound", "/Rendition", "/Trans", "/3D"),
    }
)
_ACTIVE_KEYS: Final = frozenset(
    {
        *("/JS", "/JavaScript", "/OpenAction", "/AA", "/XFA", "/EF", "/EmbeddedFiles", "/AF"),
        *("/Ref", "/OPI", "/PS"),
    }
)
_TALKATIVE: Final = frozenset({"/Metadata", "/PieceInfo", "/LastModified", "/Alternates"})
"""Invisible keys that may contain names, places and times."""
# Segments of a JPEG inside a PDF that affect its appearance: JFIF, colour profile, Adobe.
_SHOWN_SEGMENTS: Final = frozenset({0xE0, 0xE2, 0xEE})
_SEGMENT_HEAD: Final = 4
_JPEG: Final = ("/DCTDecode", ["/DCTDecode"])
_FOREIGN: Final = re.compile(rb"<(?:script|html|svg|iframe|\?php|!doctype)\b", re.IGNORECASE)
_HEAD_BYTES: Final = 1024


def read(content: bytes, refuse: Callable[[str], NoReturn]) -> Iterator[Any]:
    """Yield the pages' number, and the new file.

    Refuses with ``polyglot``, ``encrypted``, ``form``, ``comments``, ``layers``, ``pages``,
    ``active``, ``objects`` or ``damaged``.
    """
    logging.disable(logging.CRITICAL)  # its warnings quote the file
    end = content.rpartition(b"%%EOF")[2]
    if (
        zipfile.is_zipfile(io.BytesIO(content))
        or _FOREIGN.search(content[:_HEAD_BYTES])
        or _FOREIGN.search(end)
    ):
        refuse("polyglot")
    try:
        pages, written = _copied(content, refuse)
    except (PyPdfError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        refuse("damaged")
    except RecursionError:
        refuse("damaged")
    yield {"pages": pages}
    for start in range(0, len(written), _PIECE_BYTES):
        yield written[start : start + _PIECE_BYTES]


def _copied(content: bytes, refuse: Callable[[str], NoReturn]) -> tuple[int, bytes]:
    book = pypdf.PdfReader(io.BytesIO(content))
    if book.is_encrypted:
        refuse("encrypted")
    root: Any = book.trailer["/Root"]
    if _has(root, "/OCProperties"):
        refuse("layers")
    form = root.get("/AcroForm")
    form = None if form is None else form.get_object()
    if form is not None and (_has(form, "/XFA") or len(form.get("/Fields", ())) > 0):
        refuse("form")
    if not 1 <= len(book.pages) <= _MOST_PAGES:
        refuse("pages")
    copy = pypdf.PdfWriter()
    for page in book.pages:
        annotations = page.get("/Annots")
        for each in () if annotations is None else annotations.get_object():
            if each.get_object().get("/Subtype") not in _NOTHING_LOST:
                refuse("comments")
        for key in set(page) - _OF_A_PAGE:
            del page[key]
        copy.add_page(page)
    copy.metadata = None
    _clean_objects(copy, refuse)
    written = io.BytesIO()
    copy.write(written)
    return len(book.pages), written.getvalue()


def _has(values: Any, name: str) -> bool:
    found = values.get(name)
    return found is not None and bool(found.get_object())


def _clean_objects(copy: pypdf.PdfWriter, refuse: Callable[[str], NoReturn]) -> None:
    """Refuse active parts deep in a page's resources, and drop metadata there."""
    left: list[Any] = [copy.root_object]
    seen: set[int] = set()
    looked_at = 0
    while left:
        value = left.pop()
        looked_at += 1
        if looked_at > _MOST_OBJECTS:
            refuse("objects")
        if isinstance(value, IndirectObject):
            if value.idnum not in seen:
                seen.add(value.idnum)
                left.append(value.get_object())
        elif isinstance(value, DictionaryObject):
            if _is_active(value):
                refuse("active")
            for key in _TALKATIVE & set(value):
                del value[key]
            if isinstance(value, StreamObject) and value.get("/Filter") in _JPEG:
                value._data = _without_metadata(value._data)  # noqa: SLF001 - as it is stored
            left.extend(value.values())
        elif isinstance(value, ArrayObject):
            left.extend(value)


def _is_active(value: DictionaryObject) -> bool:
    kinds = {str(value.get(name)) for name in ("/S", "/Type", "/Subtype")}
    is_elsewhere = isinstance(value, StreamObject) and "/F" in value  # in another file
    return is_elsewhere or bool(kinds & _ACTIVE or _ACTIVE_KEYS & set(value))


def _without_metadata(jpeg: bytes) -> bytes:
    """Return a JPEG without the segments with the place and author of the photo."""
    kept, place = [jpeg[:2]], 2
    while place + _SEGMENT_HEAD <= len(jpeg) and jpeg[place] == 0xFF:  # noqa: PLR2004 - a marker
        marker = jpeg[place + 1]
        if marker == 0xDA:  # noqa: PLR2004 - pixels from here on
            break
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4])
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE  # noqa: PLR2004
        if not is_metadata or marker in _SHOWN_SEGMENTS:
            kept.append(jpeg[place:end])
        place = end
    return b"".join([*kept, jpeg[place:]])
