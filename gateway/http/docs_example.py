"""Examples for the page at ``/docs``: a value that fits a schema, a curl line for a request.

A curl line is there to be pasted into a shell: whatever comes out of the document is
quoted for the shell, or percent-encoded, before it goes in.
"""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.http.docs_schema import Node, Schemas, mapping, sequence

_FORMS: Final[dict[str, str]] = {
    "date": "2026-04-19",
    "date-time": "2026-04-19T18:42:10Z",
    "decimal": "12.50",
    "duration": "PT1H",
    "email": "name@example.com",
    "time": "18:42:10Z",
    "uri": "https://example.com",
    "uuid": "0198c5f0-7a31-7c52-9d05-3f1be6a1c2d4",
}
_MAX_DEPTH: Final = 6
_MAX_ONE_LINE: Final = 60
_BRACED: Final = re.compile(r"\{([^{}]*)\}")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9]+")
_JSON: Final = "application/json"


def given_example(node: Node) -> Any:
    """Return the example that a schema, a parameter or a media type bears, or ``None``."""
    if "example" in node:
        return node["example"]
    examples = node.get("examples")
    if named := list(mapping(examples).values()):  # OpenAPI's own form: name → {"value": …}
        return mapping(named[0]).get("value")
    return next(iter(sequence(examples)), None)


def sample(schemas: Schemas, value: Any, *, full: bool, inside: tuple[str, ...] = ()) -> Any:
    """Make a value that fits a schema; ``full`` with the fields that may be left out, too.

    ``None`` where the schema goes in a circle, or deeper than anybody would read.
    """
    node = mapping(value)
    if isinstance(ref := node.get("$ref"), str):
        if ref in inside or len(inside) >= _MAX_DEPTH:
            return None
        node, inside = schemas.resolve(node), (*inside, ref)
    if (known := _known(node, full=full)) is not None:
        return known
    if members := schemas.members(node):
        return sample(schemas, members[0], full=full, inside=inside)
    kind = schemas.kind(node)
    if kind == "array":
        item = sample(schemas, node.get("items", True), full=full, inside=inside)
        return [] if item is None else [item]
    if kind == "object":
        return _object(schemas, node, full=full, inside=inside)
    return _scalar(kind, node)


def curl(schemas: Schemas, method: str, path: str, operation: Node) -> str:
    """Write the curl line for an operation, with what it needs and no more.

    ``$BASE_URL`` and ``$API_KEY`` are left to the reader's shell.
    """
    parameters = [schemas.resolve(each) for each in sequence(operation.get("parameters"))]
    arguments = [
        f'curl{"" if method == "GET" else f" -X {method}"} "$BASE_URL{_address(schemas, path, parameters)}"',
        *(f'-H "{name}"' for name in key_headers(schemas, operation)),
        *(
            f"-H {shlex.quote(f'{each.get("name")}: {_text(schemas, each)}')}"
            for each in parameters
            if each.get("in") == "header" and each.get("required") is True
        ),
        *_body(schemas, schemas.resolve(operation.get("requestBody"))),
    ]
    return " \\\n  ".join(arguments)
