"""Post a recorded request again, such as a webhook whose route is being written."""

import http.client
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gateway.clock import SystemClock
from gateway.errors import InvalidInput, Unavailable
from gateway.sdk.signed_requests import SignatureScheme, signed_headers

_SECONDS: Final = 60.0
_FIRST: Final = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (/[^ ]*)( HTTP/1\.[01])?")
_BLANK: Final = re.compile(rb"\r?\n\r?\n")
_NOT_SENT: Final = frozenset({"host", "content-length", "connection", "transfer-encoding"})


class Recorded(NamedTuple):
    """A recorded request; ``body`` has the exact bytes, because its signature covers them."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answered(NamedTuple):
    """The gateway's response."""

    status: int
    text: str


def read_recorded(file: Path) -> Recorded:
    """Read a file in the form of HTTP: a request line, headers, a blank line, a body.

    Raises ``InvalidInput`` for another form, without quoting it.
    """
    content = file.read_bytes()
    found = _BLANK.search(content)
    head, body = (content, b"") if found is None else content.split(found[0], 1)
    first, *lines = head.splitlines() or [b""]
    line = _FIRST.fullmatch(first)
    if line is None:
        raise InvalidInput(
            f"{file.name} holds no request: write POST /api/acme/orders in its first line, then "
            "the headers, a blank line and the body."
        )
    pairs = (each.decode("latin-1").partition(":") for each in lines)
    headers = {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
    return Recorded(line[1].decode(), line[2].decode("latin-1"), headers, body)


def refuse_foreign(recorded: Recorded, plugin: str, routes: Collection[tuple[str, str]]) -> None:
    """Raise ``InvalidInput`` where none of a plugin's ``routes`` takes the request.

    ``routes`` are methods and paths with ``{name:type}`` for parameters.
    """
    path = recorded.path.partition("?")[0]
    for method, template in routes:
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part)
            for part in re.split(r"(\{[^}]*\})", template)
        )
        if method == recorded.method and re.fullmatch(pattern, path.rstrip("/") or "/"):
            return
    listed = ", ".join(f"{method} {path}" for method, path in sorted(routes)) or "none"
    raise InvalidInput(f"Plugin {plugin} has no route for this request; it has: {listed}.")


def signed_again(recorded: Recorded, schemes: Collection[SignatureScheme], secret: str) -> Recorded:
    """Return the request signed again with the current time, because recorded signatures expire.

    ``schemes`` are those that the plugin defines. Raises ``InvalidInput`` unless there is one.
    """
    if len(schemes) != 1:
        raise InvalidInput(
            f"The plugin's modules define {len(schemes)} values of SignatureScheme; --sign needs "
            "exactly one, such as SIGNATURE = SignatureScheme(…) beside the route."
        )
    [scheme] = schemes
    signed = signed_headers(scheme, recorded.body, secret, SystemClock().now())
    names = {name.lower() for name in signed}
    kept = {name: each for name, each in recorded.headers.items() if name.lower() not in names}
    return recorded._replace(headers={**kept, **signed})


def schemes_of(package: str) -> list[SignatureScheme]:
    """Return the signature schemes that the loaded modules of a plugin's package define."""
    values = [
        each
        for name, module in sorted(sys.modules.items())
        if name == package or name.startswith(f"{package}.")
        for each in vars(module).values()
    ]
    return list(dict.fromkeys(each for each in values if isinstance(each, SignatureScheme)))


def send(recorded: Recorded, address: str, key: str | None) -> Answered:
    """Send the request to the gateway at ``address``; raises ``Unavailable`` where none answers."""
    to = urlsplit(address)
    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    headers = {
        name: value for name, value in recorded.headers.items() if name.lower() not in _NOT_SENT
    }
    if key is not None:
        headers["X-API-Key"] = key
    connection = kind(to.hostname or "127.0.0.1", to.port, timeout=_SECONDS)
    try:
        connection.request(recorded.method, recorded.path, recorded.body, headers)
        answer = connection.getresponse()
        return Answered(answer.status, answer.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            f"No gateway answers at {address} ({type(error).__name__}): start it with gateway dev "
            "or gateway serve, or say where it is with --to."
        ) from error
    finally:
        connection.close()
