"""Files are cleaned in the sandbox: what comes out shows the same and says nothing else."""

import io
import resource
import time

import pypdf
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pictures import (
    MARK,
    animated,
    bomb,
    changed_pdf,
    commented_pdf,
    encrypted_pdf,
    fax,
    form_pdf,
    hidden_script_pdf,
    layered_pdf,
    lying_bomb,
    photo,
    picture,
    saved,
    scripted_pdf,
    text_bomb,
    with_comment,
    with_text,
    zipped,
)
from PIL import Image

from gateway.errors import InvalidInput, MissingExtra, TooLarge, UnsupportedMedia
from gateway.storage.files.cleaning import clean, need_extra
from gateway.storage.files.spool import SealedSpool

pytestmark = pytest.mark.slow


def cleaned(content):
    """Clean a file; returns its media type, its bytes, its thumbnail, and its facts."""
    with SealedSpool(20_000_000) as sent:
        sent.write(content)
        sent.finish()
        made = clean(sent)
    parts = [b"".join(part.pieces()) for part in (made.content, made.thumbnail)]
    made.close()
    return made.media_type, *parts, made.facts


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_keeps_its_pixels_and_loses_where_it_was_taken(form):
    sent = photo(form)

    media_type, content, thumbnail, facts = cleaned(sent)

    assert MARK.encode() in sent  # it was there
    assert media_type == f"image/{form.lower()}"
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size, facts) == (form, (640, 480), {"width": 640, "height": 480})
    assert not image.getexif()
    assert MARK.encode() not in content
    assert b"Exif" not in content
    small = Image.open(io.BytesIO(thumbnail))
    assert (small.format, small.size) == ("JPEG", (480, 360))
    difference = [
        abs(a - b) for a, b in zip(small.convert("L").getextrema(), (0, 255), strict=True)
    ]
    assert max(difference) < 12  # it still goes from black to white


def test_a_photo_is_turned_as_the_camera_was_held():
    _, content, _, facts = cleaned(photo(orientation=6))

    assert Image.open(io.BytesIO(content)).size == (480, 640)
    assert facts == {"width": 480, "height": 640}


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_a_png_of_every_kind_is_kept(mode):
    image = picture(mode="L").convert("I;16") if mode == "I;16" else picture(mode=mode)

    media_type, content, thumbnail, _ = cleaned(saved(image, "PNG"))

    assert media_type == "image/png"
    assert Image.open(io.BytesIO(content)).size == (640, 480)
    assert Image.open(io.BytesIO(thumbnail)).size == (480, 360)


def test_a_see_through_signature_stays_see_through():
    signature = Image.new("RGBA", (300, 100), (0, 0, 0, 0))

    _, content, thumbnail, _ = cleaned(saved(signature, "PNG"))

    assert Image.open(io.BytesIO(content)).getpixel((5, 5)) == (0, 0, 0, 0)
    assert Image.open(io.BytesIO(thumbnail)).getpixel((5, 5)) == (255, 255, 255)


def test_the_second_picture_of_a_phone_is_no_animation():
    two = saved(picture(), "MPO", save_all=True, append_images=[picture(64, 64)])

    media_type, content, _, _ = cleaned(two)

    assert media_type == "image/jpeg"
    assert Image.open(io.BytesIO(content)).format == "JPEG"


JPEG = photo()
PNG = saved(picture(), "PNG")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(JPEG + zipped(), id="a JPEG that is also a ZIP"),
        pytest.param(with_comment(JPEG, b"<script>alert(1)</script>"), id="a JPEG and a page"),
        pytest.param(JPEG + b"<?php system($_GET[0]);", id="a JPEG and a script"),
        pytest.param(with_comment(JPEG, b"%PDF-1.7 1 0 obj"), id="a JPEG and a PDF"),
        pytest.param(with_text(PNG, b"<SVG onload=alert(1)>"), id="a PNG and an SVG"),
        pytest.param(PNG + b"<html>", id="a PNG and a page"),
        pytest.param(photo("WEBP") + zipped(), id="a WebP that is also a ZIP"),
        pytest.param(fax() + zipped(), id="a PDF that is also a ZIP"),
        pytest.param(fax() + b"\n<script>1</script>", id="a PDF and a page"),
    ],
)
def test_a_file_of_two_kinds_is_refused(content):
    with pytest.raises(InvalidInput, match="two kinds at once"):
        cleaned(content)


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedMedia, "Send a JPEG, PNG or"),
        (b"GIF89a" + bytes(100), UnsupportedMedia, "Send a JPEG, PNG or"),
        (zipped(), UnsupportedMedia, "Send a JPEG, PNG or"),
        (animated("WEBP"), InvalidInput, "moves"),
        (animated("PNG"), InvalidInput, "moves"),
        (JPEG[: len(JPEG) // 2], InvalidInput, "damaged"),
        (b"\xff\xd8\xff" + bytes(5000), InvalidInput, "damaged"),
        (b"\x89PNG\r\n\x1a\n", InvalidInput, "damaged"),
        (b"%PDF-1.7\n%%EOF", InvalidInput, "damaged"),
        (form_pdf(), InvalidInput, "form"),
        (commented_pdf(), InvalidInput, "comments"),
        (layered_pdf(), InvalidInput, "layers"),
        (encrypted_pdf(), InvalidInput, "password"),
        (hidden_script_pdf(), InvalidInput, "script or a link"),
    ],
)
def test_what_cant_be_kept_is_refused_with_the_reason(content, error, sentence):
    with pytest.raises(error, match=sentence):
        cleaned(content)


@pytest.mark.parametrize("make", [bomb, lying_bomb, text_bomb], ids=lambda make: make.__name__)
def test_a_bomb_costs_neither_time_nor_memory(make):
    content = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()

    try:
        cleaned(content)
    except (TooLarge, InvalidInput):
        outcome = "refused"
    else:
        outcome = "kept without it"

    assert outcome == ("kept without it" if make is lying_bomb else "refused")
    assert time.process_time() - began < 2  # of this process; the sandbox has its own bound
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_a_fax_keeps_its_pages_and_loses_its_author_and_scripts():
    media_type, content, thumbnail, facts = cleaned(changed_pdf(lambda _: None, scripted_pdf()))

    assert (media_type, facts, thumbnail) == ("application/pdf", {"pages": 1}, b"")
    for word in (b"JavaScript", b"/JS", b"Launch", b"OpenAction", b"EmbeddedFile", b"run.sh"):
        assert word not in content, word
    assert MARK.encode() not in content
    book = pypdf.PdfReader(io.BytesIO(content))
    [shown] = book.pages[0].images
    assert shown.image.size == (850, 1100)
    assert set(book.trailer["/Root"]) == {"/Type", "/Pages"}


def test_links_of_a_page_go_and_many_pages_stay():
    media_type, _, _, facts = cleaned(fax(pages=3))

    assert (media_type, facts) == ("application/pdf", {"pages": 3})


def test_without_the_libraries_the_line_that_installs_them_is_said():
    with pytest.raises(MissingExtra, match=r'pip install "rx-gateway\[files\]"'):
        need_extra(lambda name: name != "pypdf")

    need_extra(lambda _: True)


SAMPLES = {"JPEG": JPEG, "PNG": PNG, "WebP": photo("WEBP"), "PDF": fax()}
HEADS = [JPEG[:20], JPEG[:400], PNG[:33], b"RIFF\x00\x01\x00\x00WEBPVP8X", b"%PDF-1.7\n", b""]


@pytest.mark.slow
@examples(max_examples=25)
@given(st.sampled_from(HEADS), st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_cleaned_or_refused(head, noise, cut):
    content = head + noise + JPEG[cut : cut * 3]

    try:
        media_type, made, *_ = cleaned(content)
    except InvalidInput:
        return
    assert media_type.startswith(("image/", "application/pdf"))
    assert MARK.encode() not in made


@pytest.mark.slow
@examples(max_examples=25)
@given(
    st.sampled_from(sorted(SAMPLES)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1),
)
def test_a_damaged_file_is_cleaned_or_refused(kind, damage):
    damaged = bytearray(SAMPLES[kind])
    for place, value in damage:
        damaged[int(place * len(damaged))] = value

    try:
        made = cleaned(bytes(damaged))[1]
    except InvalidInput:
        return
    assert MARK.encode() not in made
