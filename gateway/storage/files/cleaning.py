"""Clean a file in the sandbox: an image is encoded again, a PDF's pages are copied.

The clean file has no metadata, no script and no hidden content. A file that can't be cleaned
without losing visible content is refused, with a sentence that says what to do.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import gateway.sandbox
from gateway.errors import (
    FileTooDemanding,
    FileTooSlow,
    FileUnreadable,
    InvalidInput,
    MissingExtra,
    ReaderCrashed,
    TooLarge,
    UnsupportedMedia,
)
from gateway.model.file import MAX_FILE_BYTES, media_type_of
from gateway.sandbox.reader import SandboxLimits, SandboxReader, read_in_sandbox
from gateway.storage.files.spool import SealedSpool

_FOLDER: Final = Path(gateway.sandbox.__file__).parent
_LIMITS: Final = SandboxLimits(
    memory_bytes=1_500_000_000,
    cpu_seconds=60,
    silence_seconds=90.0,
    item_bytes=1_000_000,
    in_background=True,
)
_PDF: Final = "application/pdf"
_READERS: Final[Mapping[str, SandboxReader]] = {
    **{
        f"image/{form.lower()}": SandboxReader(
            _FOLDER / "clean_image.py", (form, str(MAX_FILE_BYTES)), _LIMITS
        )
        for form in ("JPEG", "PNG", "WEBP")
    },
    _PDF: SandboxReader(_FOLDER / "clean_pdf.py", (), _LIMITS),
}
INSTALL: Final = 'pip install "rx-gateway[files]"'
_WANTED: Final = (
    "Send a JPEG, PNG or WebP image, or a PDF; the file's content counts, not its name."
)
_DAMAGED: Final = "The file can't be read: it is damaged, or not what it says. Make it again."
_TOO_HARD: Final = "The file takes too much memory or time to read: send a smaller one."
_REFUSALS: Final[Mapping[str, str]] = {
    "polyglot": "The file is of two kinds at once, such as a photo that is also a ZIP: send one.",
    "animated": "The image moves; send a still one.",
    "encrypted": "The PDF has a password; save it without.",
    "form": "The PDF has a form whose fields would get lost: print it to a PDF and send that.",
    "comments": "The PDF has comments that would get lost: print it to a PDF and send that.",
    "layers": "The PDF has layers, shown or hidden: print it to a PDF and send that.",
    "active": "A page of the PDF contains a script or a link: print it to a PDF and send that.",
    "objects": "The PDF is too complex: print it to a PDF and send that.",
    "pages": "The PDF has no page, or more than 200: split it.",
}
_TOO_LARGE: Final[Mapping[str, str]] = {
    "pixels": "The image has more than 40 megapixels: make it smaller.",
    "large": "The image takes more than 10 MB once it is cleaned: send a JPEG, or a smaller one.",
}


class Cleaned(NamedTuple):
    """A clean file. ``facts`` are its pixels or pages."""

    media_type: str
    content: SealedSpool
    thumbnail: SealedSpool
    facts: Mapping[str, Any]

    def close(self) -> None:
        """Delete the temporary files."""
        self.content.close()
        self.thumbnail.close()


def is_installed(module: str) -> bool:
    """Return whether a library of the extra ``files`` is installed."""
    return find_spec(module) is not None


def need_extra(installed: Callable[[str], bool] = is_installed) -> None:
    """Raise ``MissingExtra`` unless the libraries of the extra ``files`` are installed."""
    if not (installed("PIL") and installed("pypdf")):
        raise MissingExtra(f"Files need two more libraries: {INSTALL}, then start again.")


def clean(sent: SealedSpool, folder: Path | None = None) -> Cleaned:
    """Clean a sent file in a process of its own; blocks, so call it in a thread.

    Raises ``UnsupportedMedia`` for a type that isn't accepted, ``TooLarge`` and ``InvalidInput``
    for a file that can't be cleaned.
    """
    media_type = media_type_of(sent.head)
    if media_type is None:
        raise UnsupportedMedia(_WANTED)
    made = Cleaned(
        media_type,
        SealedSpool(MAX_FILE_BYTES, folder),
        SealedSpool(MAX_FILE_BYTES, folder),
        facts := {},
    )
    target = made.content
    try:
        for item in read_in_sandbox(_READERS[media_type], sent):
            if isinstance(item, bytes):
                target.write(item)
            elif "thumbnail" in item:
                target = made.thumbnail
            else:
                facts.update(item)
        made.content.finish()
        made.thumbnail.finish()
    except FileUnreadable as error:
        made.close()
        if error.code in _TOO_LARGE:
            raise TooLarge(_TOO_LARGE[error.code]) from None
        raise InvalidInput(_REFUSALS.get(error.code, _DAMAGED)) from None
    except (FileTooDemanding, FileTooSlow):
        made.close()
        raise TooLarge(_TOO_HARD) from None
    except ReaderCrashed:
        made.close()
        raise InvalidInput(_DAMAGED) from None
    except BaseException:  # cancelled: no temporary file is left behind; raised again
        made.close()
        raise
    return made
