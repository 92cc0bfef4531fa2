"""The real reader, in its sandbox: made-up labels, pictures held any way, and hostile files."""

import io
import logging
import os
import re
import sys
from datetime import date
from pathlib import Path

import pytest
from gateway_labels import read_label as read_label_script
from gateway_labels.fields.draft import Reading, fields_of
from gateway_labels.label_reader import new_sandbox, read_label
from gateway_labels.settings import LabelsSettings
from pictures import animated, bomb, encrypted_pdf, fax, photo, saved
from PIL import Image
from plugins.labels.accuracy import verdicts
from plugins.labels.made_labels import made

from gateway.plugin import InvalidInput, TooLarge

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("reads_labels")]

PATTERNS = LabelsSettings().patterns()


@pytest.fixture(scope="module")
def sandbox():
    opened = new_sandbox(300)
    yield opened
    opened.close()


def read(sandbox, content):
    return read_label(sandbox, io.BytesIO(content))


def fields(scanned, place="US"):
    country = "US" if place == "US" else "CA"
    return fields_of(scanned.lines, scanned.codes, Reading(PATTERNS, country, date(2026, 11, 29)))


@pytest.mark.parametrize(
    ("seed", "level"), [(3, 0), pytest.param(4, 1, marks=pytest.mark.long), (5, 1)]
)
def test_labels_of_three_places_are_read_from_a_scan_and_from_good_photos(sandbox, seed, level):
    label = made(seed, level)
    found = fields(read(sandbox, label.jpeg()), label.place)

    assert [(name, word) for name, word, _, _ in verdicts(label, found)] == [
        (name, "right") for name in label.printed
    ]
    assert {each.name for each in found if each.confidence == "high"} >= {"rx_number"}
    assert all(each.sources >= 2 for each in found if each.confidence == "high")


def test_a_picture_that_lies_on_its_side_is_turned(sandbox):
    label = made(3, 0)
    sideways = label.image.rotate(90, expand=True)
    scanned = read(sandbox, saved(sideways, "PNG"))
    shown = Image.open(io.BytesIO(scanned.picture))

    assert shown.width > shown.height
    assert (shown.width, shown.height) == (scanned.width, scanned.height)
    assert {each.name: each.value for each in fields(scanned)}["rx_number"] == (
        label.printed["rx_number"]
    )
    [name] = [each for each in fields(scanned) if each.name == "patient_name"]
    assert all(0 <= x <= scanned.width and 0 <= y <= scanned.height for x, y in name.box)


def test_a_piece_that_reads_as_nothing_does_not_hide_that_a_picture_lies_on_its_side(monkeypatch):
    # In its sandbox the reader is alone, and turns the logging of its whole process off.
    monkeypatch.setattr(logging, "disable", lambda _: None)
    engine = read_label_script._engine()
    steps = engine.run_ocr_steps

    def with_a_blank(*of):
        found, flips, texts, crops = steps(*of)
        texts.txts = (" ", *texts.txts[1:])
        return found, flips, texts, crops

    monkeypatch.setattr(engine, "run_ocr_steps", with_a_blank)

    turned, lines = read_label_script._lines(
        made(3, 0).image.convert("RGB").rotate(90, expand=True)
    )

    assert turned == 270
    assert lines


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process may do")
def test_the_process_keeps_its_model_and_can_write_nothing(sandbox):
    read(sandbox, saved(Image.new("RGB", (640, 480), "white")))
    first = sandbox.pid
    read(sandbox, saved(Image.new("RGB", (640, 480), "white")))
    status = Path(f"/proc/{first}/status").read_text("utf-8")
    limits = Path(f"/proc/{first}/limits").read_text("utf-8")

    assert sandbox.pid == first
    assert 100_000_000 < sandbox.resident_bytes < 700_000_000
    assert re.search(r"^Max file size +0 ", limits, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+[02]$", status, re.MULTILINE)  # 0: a kernel without it


@pytest.mark.skipif(sys.platform == "win32", reason="there it is a log of the system's")
def test_the_recognizer_keeps_no_telemetry_in_the_users_folder():
    import pwd

    cache = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "Microsoft"
    before = {each: each.stat().st_mtime_ns for each in cache.rglob("*")}
    opened = new_sandbox(300)
    read(opened, saved(Image.new("RGB", (64, 64), "white")))
    opened.close()

    assert {each: each.stat().st_mtime_ns for each in cache.rglob("*")} == before


def test_a_pdf_of_one_page_is_a_label(sandbox):
    label = made(3, 0)
    scanned = read(sandbox, saved(label.image, "PDF", resolution=200))

    assert {each.name: each.value for each in fields(scanned)}["rx_number"] == (
        label.printed["rx_number"]
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (animated("WEBP"), "moves"),
        (encrypted_pdf(), "password"),
        (fax(pages=2), "one page"),
        (b"%PDF-1.7\nnothing", "damaged"),
        (b"GIF89a" + bytes(400), "JPEG, PNG or WebP"),
        (made(3, 0).jpeg()[:9000], "damaged"),
        (b"", "JPEG, PNG or WebP"),
    ],
)
def test_what_is_no_picture_of_a_label_is_refused_and_the_process_goes_on(sandbox, content, words):
    with pytest.raises(InvalidInput, match=words):
        read(sandbox, content)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_turned_as_the_phone_was_held(form):
    from gateway_labels.read_label import _decoded

    held = _decoded(photo(form, orientation=6), pytest.fail)

    assert held.size == (480, 640)
    assert held.mode == "RGB"


def test_a_picture_of_billions_of_pixels_is_refused_before_it_is_in_memory(sandbox):
    with pytest.raises(TooLarge, match="40 megapixels"):
        read(sandbox, bomb())
