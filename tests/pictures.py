"""Files as people send them, and as an attacker does: photos, signatures, faxes. Made up."""

import io
import struct
import zipfile
import zlib

import pypdf
from PIL import Image
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject

MARK = "Quillfeather"
"""Stands in the metadata of every photo: nothing kept may contain it."""


def picture(width=640, height=480, *, mode="RGB"):
    """Return an image with some structure, the same in each run."""
    return Image.linear_gradient("L").resize((width, height)).convert(mode)


def saved(image, form="JPEG", **options):
    written = io.BytesIO()
    image.save(written, form, **options)
    return written.getvalue()


def located(orientation=1):
    """Return metadata that says where a photo was taken, by whom, and how it was held."""
    exif = Image.Exif()
    exif[0x010E] = f"door of {MARK}"
    exif[0x0112] = orientation
    exif.get_ifd(0x8825).update({1: "N", 2: (25.0, 51.0, 40.32), 3: "W", 4: (80.0, 17.0, 53.9)})
    return exif


def photo(form="JPEG", *, size=(640, 480), orientation=1):
    """Return a photo with GPS and a comment in it."""
    image = picture(*size)
    more = {"comment": MARK.encode()} if form == "JPEG" else {}
    return saved(image, form, exif=located(orientation), **more)


def noise(width, height, seed=7):
    """Return an image that hardly compresses."""
    import random

    return Image.frombytes(
        "RGB", (width, height), random.Random(seed).randbytes(width * height * 3)
    )


def animated(form="WEBP"):
    frames = [picture(64, 64), picture(64, 64).rotate(90)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=50)


def _chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def bomb(width=50_000, height=50_000):
    """Return a PNG of some KB that says it has 2.5 billion pixels."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def lying_bomb():
    """Return a PNG of one pixel whose data unpacks to a gigabyte."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(10_000_000)) for _ in range(100)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def text_bomb():
    """Return a small PNG with a text of 100 MB in it."""
    plain = saved(picture(8, 8), "PNG")
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    return plain[:33] + text + plain[33:]


def zipped():
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("run.sh", "echo")
    return written.getvalue()


def with_comment(jpeg, comment):
    """Return a JPEG with a comment segment at its beginning."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


def with_text(png, text):
    """Return a PNG with a text chunk right behind its head."""
    return png[:33] + _chunk(b"tEXt", b"Comment\0" + text) + png[33:]


def fax(pages=1):
    """Return a PDF of scanned pages, with an author and a photo's metadata in it."""
    images = [Image.open(io.BytesIO(photo(size=(850, 1100)))) for _ in range(pages)]
    return saved(images[0], "PDF", save_all=True, append_images=images[1:], author=MARK)


def changed_pdf(change, content=None):
    """Return a PDF after ``change(writer)``."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(content or fax()))
    change(writer)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def _action(script):
    return DictionaryObject(
        {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject(script)}
    )


def scripted_pdf():
    """Return a PDF with a script that runs on opening, one on its page, and an attachment."""

    def change(writer):
        writer.root_object[NameObject("/OpenAction")] = _action("app.alert(1)")
        launch = DictionaryObject(
            {NameObject("/S"): NameObject("/Launch"), NameObject("/F"): TextStringObject("cmd")}
        )
        writer.pages[0][NameObject("/AA")] = DictionaryObject({NameObject("/O"): launch})
        writer.add_attachment("run.sh", b"echo")

    return changed_pdf(change)


def form_pdf():
    def change(writer):
        field = DictionaryObject({NameObject("/FT"): NameObject("/Tx")})
        form = DictionaryObject({NameObject("/Fields"): ArrayObject([writer._add_object(field)])})
        writer.root_object[NameObject("/AcroForm")] = form

    return changed_pdf(change)


def commented_pdf():
    def change(writer):
        note = DictionaryObject(
            {NameObject("/Type"): NameObject("/Annot"), NameObject("/Subtype"): NameObject("/Ink")}
        )
        writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(note)])

    return changed_pdf(change)


def layered_pdf():
    def change(writer):
        layers = DictionaryObject({NameObject("/OCGs"): ArrayObject()})
        writer.root_object[NameObject("/OCProperties")] = layers

    return changed_pdf(change)


def hidden_script_pdf():
    """Return a PDF whose script hides in its page's resources."""

    def change(writer):
        writer.pages[0]["/Resources"][NameObject("/Properties")] = _action("app.alert(1)")

    return changed_pdf(change)


def encrypted_pdf():
    return changed_pdf(lambda writer: writer.encrypt("secret", algorithm="RC4-128"))


def body(content, boundary="frontier", name="photo.jpg", **fields):
    """Return a multipart body with a file, and the header that goes with it."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    parts.append(f"--{boundary}\r\n{head}\r\nContent-Type: image/jpeg\r\n\r\n".encode())
    parts += [content, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
