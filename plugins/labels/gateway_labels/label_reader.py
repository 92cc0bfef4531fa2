"""The process that reads labels, and the sentences for its refusals."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.plugin import (
    FileTooDemanding,
    FileTooSlow,
    FileUnreadable,
    HealthReport,
    InvalidInput,
    MissingExtra,
    ReaderCrashed,
    SandboxLimits,
    SandboxReader,
    TooLarge,
    WarmSandbox,
)

INSTALL: Final = 'pip install "rx-gateway[labels]"'
_LIBRARIES: Final = ("rapidocr", "onnxruntime", "zxingcpp", "pypdfium2", "PIL")
_LIMITS: Final = SandboxLimits(
    memory_bytes=3_000_000_000,  # address space: the libraries map far more than they touch
    resident_bytes=700_000_000,
    cpu_seconds=3600,  # of all pictures that one process reads
    silence_seconds=90.0,
)
READER: Final = SandboxReader(Path(__file__).with_name("read_label.py"), (), _LIMITS)
_MOST_FILES: Final = 50
_DAMAGED: Final = "The picture can't be read: it is damaged, or not what it says. Take it again."
_REFUSALS: Final[Mapping[str, str]] = {
    "kind": "Send a JPEG, PNG or WebP picture, or a PDF of one page.",
    "animated": "The picture moves; send a still one.",
    "encrypted": "The PDF has a password; save it without.",
    "pages": "A label is one page: send a PDF of one page.",
}
_TOO_LARGE: Final = "The picture takes too much memory or time to read: send a smaller one."
_PIXELS: Final = "The picture has more than 40 megapixels: make it smaller."


class Scanned(msgspec.Struct, frozen=True):
    """A label as it was read; boxes are in the pixels of ``picture``, an upright JPEG."""

    width: int
    height: int
    quality: dict[str, float]
    codes: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    picture: bytes = b""


def is_installed(module: str) -> bool:
    """Return whether a library of the extra ``labels`` is installed."""
    return find_spec(module) is not None


def need_extra(installed: Callable[[str], bool] = is_installed) -> None:
    """Raise ``MissingExtra`` unless the libraries of the extra ``labels`` are installed."""
    if not all(map(installed, _LIBRARIES)):
        raise MissingExtra(f"Scanning labels needs more libraries: {INSTALL}, then start again.")


async def can_read(installed: Callable[[str], bool] = is_installed) -> HealthReport:
    """Report whether labels can be read; if not, the command that installs the libraries.

    A gateway without the extra is healthy: each upload is answered with the same command.
    """
    try:
        need_extra(installed)
    except MissingExtra as error:
        return HealthReport(healthy=True, detail=error.message)
    return HealthReport(healthy=True, detail="labels can be read")


def new_sandbox(reading_seconds: float, *, in_background: bool = True) -> WarmSandbox:
    """Return the process that reads, which starts with the first picture.

    ``in_background``: it has a lower priority than the server.
    """
    limits = msgspec.structs.replace(
        _LIMITS, silence_seconds=reading_seconds, in_background=in_background
    )
    return WarmSandbox(READER._replace(limits=limits), most_files=_MOST_FILES)


def read_label(sandbox: WarmSandbox, picture: Any) -> Scanned:
    """Read a picture; blocks, so call it in a thread.

    Raises ``InvalidInput`` or ``TooLarge`` with a sentence for the person who took it.
    """
    try:
        return decoded(sandbox.read(picture))
    except FileUnreadable as error:
        if error.code == "pixels":
            raise TooLarge(_PIXELS) from None
        raise InvalidInput(_REFUSALS.get(error.code, _DAMAGED)) from None
    except (FileTooDemanding, FileTooSlow):
        raise TooLarge(_TOO_LARGE) from None
    except ReaderCrashed:
        raise InvalidInput(_DAMAGED) from None


def decoded(items: Sequence[Any]) -> Scanned:
    """Return the reader's items: one object, then the picture."""
    said, picture = items
    return Scanned(picture=picture, **said)
