"""Static files of the core and of plugins: read and compressed once, when first asked for.

Browsers keep an address with the file's version for a year, and ask again for one without it.
"""

import gzip
import hashlib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Any, Final, NamedTuple

from litestar import Request, Response

from gateway.errors import NotFound

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webp": "image/webp",
}
_KEPT: Final = "public, max-age=31536000, immutable"
_ASKED_AGAIN: Final = "public, no-cache"
_NOT_MODIFIED: Final = 304


class Asset(NamedTuple):
    """A static file; ``packed`` is its gzip, where that is smaller."""

    media_type: str
    content: bytes
    packed: bytes | None
    version: str


class Assets:
    """The files by name: ``dashboard.css``, ``csv/drop.js``."""

    def __init__(self, packages: Mapping[str, Traversable]) -> None:
        self._found = {
            f"{name}/{each.name}" if name else each.name: each
            for name, package in packages.items()
            for each in _files(package)
        }
        self._read: dict[str, Asset] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def url(self, name: str) -> str:
        """Return a file's address, with its version; raises ``KeyError`` for an unknown one."""
        return f"/dashboard/static/{name}?v={self._asset(name).version}"

    def answer(self, request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Answer a request for a file; raises ``NotFound``."""
        if name not in self._found:
            raise NotFound("No such file.")
        asset = self._asset(name)
        is_versioned = request.query_params.get("v") == asset.version
        tag = f'"{asset.version}"'
        headers = {
            "Cache-Control": _KEPT if is_versioned else _ASKED_AGAIN,
            "ETag": tag,
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(
                b"", status_code=_NOT_MODIFIED, media_type=asset.media_type, headers=headers
            )
        content = asset.content
        if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content = asset.packed
            headers["Content-Encoding"] = "gzip"
        return Response(content, media_type=asset.media_type, headers=headers)

    def _asset(self, name: str) -> Asset:
        asset = self._read.get(name)
        if asset is None:
            asset = self._read[name] = _read(self._found[name])
        return asset


def _files(package: Traversable) -> list[Traversable]:
    folder = package.joinpath("static")
    if not folder.is_dir():
        return []
    return [each for each in folder.iterdir() if _suffix(each.name) in _TYPES]


def _read(file: Traversable) -> Asset:
    content = file.read_bytes()
    packed = gzip.compress(content, 9, mtime=0)
    return Asset(
        _TYPES[_suffix(file.name)],
        content,
        packed if len(packed) < len(content) else None,
        hashlib.sha256(content).hexdigest()[:12],
    )


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
