"""Reads a label's picture: its quality, its codes, its lines; runs in the sandbox, and stays there.

It yields one object, ``{"width", "height", "quality", "codes", "lines"}``, then the picture as a
JPEG, upright and without metadata. Boxes are four points ``[x, y]`` in that picture's pixels, from
the line's upper left corner clockwise.

Lines are found in a picture of 1,120 pixels and read in one of 2,000: finding takes most of the
memory, and small print is lost in reading only. The model is loaded with the first file.
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NoReturn

import numpy as np
import zxingcpp
from PIL import Image, ImageOps

_MOST_PIXELS: Final = 40_000_000
_READ_PIXELS: Final = 2000
_FOUND_PIXELS: Final = 1120
_SHOWN_PIXELS: Final = 1600
_QUALITY: Final = 82
_MOST_LINES: Final = 200
_MOST_CODES: Final = 12
_MOST_CHARACTERS: Final = 300
_WIDE: Final = 1.5  # a line this much taller than wide lies on its side
_FLAT: Final = 150  # of 255: less between dark and light is stretched
# By its name in 1.32, and by the one that https://github.com/microsoft/onnxruntime/pull/29843 has.
_NO_TELEMETRY: Final = {"ORT_DISABLE_TELEMETRY": "1", "ORT_TELEMETRY_DISABLED": "1"}
_TURNS: Final = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180}
_TURNS_BACK: Final = {**_TURNS, 270: Image.Transpose.ROTATE_270}
_DAMAGED: Final = (OSError, ValueError, SyntaxError, LookupError, TypeError, ArithmeticError)

Refuse = Callable[[str], NoReturn]


def read(content: bytes, refuse: Refuse) -> Iterator[Any]:
    """Yield the content of a picture, then the picture.

    Refuses with ``kind``, ``pixels``, ``animated``, ``encrypted``, ``pages`` or ``damaged``.
    """
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # the limit above is ours
    image = _drawn(content, refuse) if content[:5] == b"%PDF-" else _decoded(content, refuse)
    image = _no_longer_than(image, _READ_PIXELS)
    grey = np.asarray(image.convert("L"))
    codes = _codes(grey)
    quality = _quality(grey)
    turned, lines = _lines(_stretched(image, quality))
    codes = [{**each, "box": _turned_box(each["box"], image.size, turned)} for each in codes]
    if turned:
        image = image.transpose(_TURNS_BACK[turned])
    shown = _no_longer_than(image, _SHOWN_PIXELS)
    scale = shown.width / image.width
    for each in (*codes, *lines):
        each["box"] = [[round(x * scale, 1), round(y * scale, 1)] for x, y in each["box"]]
    yield {
        "width": shown.width,
        "height": shown.height,
        "quality": quality,
        "codes": codes,
        "lines": lines,
    }
    written = io.BytesIO()
    shown.save(written, "JPEG", quality=_QUALITY)
    yield written.getvalue()


def _decoded(content: bytes, refuse: Refuse) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP"))
    except _DAMAGED:
        refuse("kind")
    if opened.width * opened.height > _MOST_PIXELS:
        refuse("pixels")
    # Phones put a second picture into a JPEG (MPO); the first is the photo.
    if opened.format != "JPEG" and getattr(opened, "n_frames", 1) > 1:
        refuse("animated")
    try:
        opened.draft("RGB", (_READ_PIXELS, _READ_PIXELS))  # a large JPEG is never whole in memory
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)  # a copy would take 160 MB at worst
        factor = max(opened.size) // _READ_PIXELS
        return _on_white(opened.reduce(factor) if factor > 1 else opened)
    except (*_DAMAGED, RuntimeError):
        refuse("damaged")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 bits of grey, as some scanners have it
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in image.info:
        over = image.convert("RGBA")
        ground = Image.new("RGB", over.size, (255, 255, 255))
        ground.paste(over, mask=over.getchannel("A"))
        return ground
    return image.convert("RGB")


def _drawn(content: bytes, refuse: Refuse) -> Image.Image:
    """Draw a PDF's only page."""
    import pypdfium2  # type: ignore[import-untyped]  # it comes without types

    try:
        book = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        refuse("encrypted" if "assword" in str(error) else "damaged")
    with contextlib.closing(book):
        if len(book) != 1:
            refuse("pages")
        try:
            page = book[0]
            longest = max(page.get_size())
            if not 1 <= longest <= 20_000:  # noqa: PLR2004 - points; 7 m of paper are no label
                refuse("pixels")
            drawn = page.render(scale=_READ_PIXELS / longest, may_draw_forms=False)
            image: Image.Image = drawn.to_pil()
            return image.convert("RGB")
        except (pypdfium2.PdfiumError, *_DAMAGED):
            refuse("damaged")


def _no_longer_than(image: Image.Image, pixels: int) -> Image.Image:
    longest = max(image.size)
    if longest <= pixels:
        return image
    width, height = (max(1, round(each * pixels / longest)) for each in image.size)
    size = (width, height)
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _quality(grey: Any) -> dict[str, float]:
    """Return how bright, how rich in contrast, how sharp a picture is, and how many pixels long."""
    import cv2

    longest = max(grey.shape)
    scale = min(1.0, 1000 / longest)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    dark, light = np.percentile(small, (2, 98))
    spread = max(float(light - dark), 1.0)
    sharpness = float(cv2.Laplacian(small, cv2.CV_64F).var()) / (spread * spread) * 10_000
    return {
        "light": round(float(light), 1),
        "contrast": round(spread, 1),
        "sharpness": round(sharpness, 1),
        "pixels": float(longest),
    }


def _stretched(image: Image.Image, quality: dict[str, float]) -> Image.Image:
    """Return a pale or dark picture with its full range of light."""
    return ImageOps.autocontrast(image, cutoff=1) if quality["contrast"] < _FLAT else image


def _codes(grey: Any) -> list[dict[str, Any]]:
    found = []
    for each in zxingcpp.read_barcodes(grey)[:_MOST_CODES]:
        place = each.position
        corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        found.append(
            {
                "format": str(each.format),
                "text": each.text[:_MOST_CHARACTERS],
                "maker": each.content_type == zxingcpp.ContentType.GS1,
                "box": [[corner.x, corner.y] for corner in corners],
            }
        )
    return found


@lru_cache(maxsize=1)
def _engine() -> Any:
    """Load the model; nothing is downloaded and nothing written, the sandbox allows neither."""
    # ONNX Runtime would send telemetry, and keep a device's id in the user's cache folder.
    os.environ.update(_NO_TELEMETRY)
    from rapidocr import RapidOCR

    logging.disable(logging.CRITICAL)  # it would quote what it reads
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": _READ_PIXELS,
            "Det.limit_type": "max",
            "Det.limit_side_len": _FOUND_PIXELS,
        }
    )


def _lines(image: Image.Image) -> tuple[int, list[dict[str, Any]]]:
    """Return by how many degrees a picture is turned (anticlockwise, to be upright), its lines."""
    engine = _engine()
    pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    small, scales = engine.preprocess_img(pixels)
    found, flips, texts, crops = engine.run_ocr_steps(small, scales)
    if found.boxes is None or texts.txts is None:
        return 0, []
    # Of all pieces: the final output leaves out those that read as nothing.
    turned = _turn(found.boxes, [label == "180" for label, _ in flips.cls_res])
    whole = engine.build_final_output(pixels, found, flips, texts, crops, scales)
    lines = [
        {
            "text": text[:_MOST_CHARACTERS],
            "score": round(float(score), 4),
            "box": _turned_box(box.tolist(), image.size, turned),
        }
        for box, text, score in zip(whole.boxes, whole.txts, whole.scores, strict=True)
    ]
    return turned, lines[:_MOST_LINES]


def _turn(boxes: Any, flipped: list[bool]) -> int:
    """Return by how many degrees most of the text has to be turned, anticlockwise."""
    votes = {0: 0.0, 90: 0.0, 180: 0.0, 270: 0.0}
    for box, is_flipped in zip(boxes, flipped, strict=True):
        width = float(np.linalg.norm(box[1] - box[0]))
        height = float(np.linalg.norm(box[3] - box[0]))
        # The recognizer turns a tall piece by 90 degrees anticlockwise, then by 180 if flipped.
        turn = 90 if height > _WIDE * width else 0
        votes[(turn + (180 if is_flipped else 0)) % 360] += max(width, height)
    return max(votes, key=lambda each: votes[each])


def _turned_box(box: list[list[float]], size: tuple[int, int], turned: int) -> list[list[float]]:
    """Return a box in the picture that was turned; its first corner is the upper left again."""
    width, height = size
    if turned == 90:  # noqa: PLR2004 - degrees
        box = [[y, width - x] for x, y in box]
    elif turned == 180:  # noqa: PLR2004
        box = [[width - x, height - y] for x, y in box]
    elif turned == 270:  # noqa: PLR2004
        box = [[height - y, x] for x, y in box]
    if turned:
        first = min(range(4), key=lambda each: box[each][0] + box[each][1])
        box = box[first:] + box[:first]
    return [[float(x), float(y)] for x, y in box]
