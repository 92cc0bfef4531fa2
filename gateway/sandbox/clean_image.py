"""Decodes an image and encodes it again, without its metadata; runs in the sandbox.

It yields ``{"width": …, "height": …}`` (pixels, turned as the camera was held), then the new file
in pieces, then ``{"thumbnail": True}`` and a small JPEG of it in pieces. The original is never
kept: neither the place of a photo, nor data hidden behind or between its pixels.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from PIL import Image, ImageOps

_PIECE_BYTES: Final = 65_000
_MOST_PIXELS: Final = 40_000_000
_LONGEST_SIDE: Final = 16_384
_THUMBNAIL_PIXELS: Final = 480
# A JPEG with many pixels is scaled down, not refused.
_QUALITIES: Final = (90, 80, 65)
_PDF_HEAD_BYTES: Final = 1024
# Beginnings that a browser or an interpreter would accept as another kind of document.
_FOREIGN: Final = re.compile(
    rb"<(?:script|html|svg|iframe|\?php|!doctype)\b|__HALT_COMPILER", re.IGNORECASE
)
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_WHITE: Final = (255, 255, 255)


def read(
    content: bytes, refuse: Callable[[str], NoReturn], form: str, most_bytes: str
) -> Iterator[Any]:
    """Yield the image's size, its new file, and its thumbnail.

    ``form`` is JPEG, PNG or WEBP. Refuses with ``polyglot``, ``animated``, ``pixels``, ``large``
    or ``damaged``.
    """
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # the limit below is ours
    if _is_something_else(content, form):
        refuse("polyglot")
    image = _decoded(content, form, refuse)
    written = _encoded(image, form, int(most_bytes), refuse)
    yield {"width": image.width, "height": image.height}
    yield from _pieces(written)
    yield {"thumbnail": True}
    yield from _pieces(_thumbnail(image))


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


def _decoded(content: bytes, form: str, refuse: Callable[[str], NoReturn]) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(content), formats=(form,))
        width, height = opened.size
        if width * height > _MOST_PIXELS or max(width, height) > _LONGEST_SIDE:
            refuse("pixels")
        # Phones put a second picture into a JPEG (MPO); the first is the photo.
        if form != "JPEG" and getattr(opened, "n_frames", 1) > 1:
            refuse("animated")
        opened.load()
        image = _plain(ImageOps.exif_transpose(opened), form)
    except (OSError, ValueError, SyntaxError, LookupError, TypeError, ArithmeticError):
        refuse("damaged")
    except RuntimeError:
        refuse("damaged")
    image.info.clear()  # Pillow writes some of it again: comments, colour profiles
    return image


def _plain(image: Image.Image, form: str) -> Image.Image:
    """Return the image in a mode that its format supports."""
    if image.mode.startswith(("I", "F")):  # 16 bits of grey, as some scanners have it
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    see_through = image.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in image.info
    if see_through and form != "JPEG":
        return image.convert("RGBA")
    if image.mode == "1" and form == "PNG":
        return image
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _encoded(
    image: Image.Image, form: str, most_bytes: int, refuse: Callable[[str], NoReturn]
) -> bytes:
    choices: list[dict[str, int]] = [{}]
    if form != "PNG":
        choices = [{"quality": quality} for quality in _QUALITIES]
    for options in choices:
        written = _saved(image, form, **options)
        if len(written) <= most_bytes:
            return written
    return refuse("large")


def _thumbnail(image: Image.Image) -> bytes:
    small = image if image.mode in {"L", "RGB", "RGBA"} else image.convert("L")
    scale = min(1.0, _THUMBNAIL_PIXELS / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = small.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if small.mode == "RGBA":
        ground = Image.new("RGB", small.size, _WHITE)
        ground.paste(small, mask=small.getchannel("A"))
        small = ground
    return _saved(small, "JPEG", quality=80)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, form, **options)
    return written.getvalue()


def _is_something_else(content: bytes, form: str) -> bool:
    """Return whether the file is also of another kind: a ZIP, a PDF, a page, a script."""
    if b"%PDF-" in content[:_PDF_HEAD_BYTES] or zipfile.is_zipfile(io.BytesIO(content)):
        return True
    outside = _outside_jpeg if form == "JPEG" else _outside_png if form == "PNG" else _outside_webp
    return any(_FOREIGN.search(each) for each in outside(content))


def _outside_jpeg(content: bytes) -> Iterator[bytes]:
    """Yield the parts without pixels: segments of metadata, and the bytes after the end."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:  # noqa: PLR2004 - a marker
        marker = content[place + 1]
        if marker == 0xD9:  # noqa: PLR2004 - end of image
            yield content[place + 2 :]
            return
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:  # noqa: PLR2004, PLR1714
            place += 1 if marker == 0xFF else 2  # noqa: PLR2004 - filling; no segment
            continue
        length = int.from_bytes(content[place + 2 : place + 4])
        if marker >= 0xE0:  # noqa: PLR2004 - application segments and comments
            yield content[place + 4 : place + 2 + length]
        place += 2 + max(length, 2)
        if marker == 0xDA:  # noqa: PLR2004 - start of scan
            found = _AFTER_SCAN.search(content, place)
            if found is None:
                return
            place = found.start()
    yield content[place:]


def _outside_png(content: bytes) -> Iterator[bytes]:
    place = 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if kind != b"IDAT":
            yield content[place + 8 : place + 8 + length]
        place += 12 + length
        if kind == b"IEND":
            break
    yield content[place:]


def _outside_webp(content: bytes) -> Iterator[bytes]:
    place, end = 12, 8 + int.from_bytes(content[4:8], "little")
    while place + 8 <= min(end, len(content)):
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        if content[place : place + 4] not in {b"VP8 ", b"VP8L", b"ALPH"}:
            yield content[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    yield content[end:]
