"""Examples for the page at ``/docs``: a value for a schema, a curl line for a request.

A curl line is pasted into a shell, so every part from the document is quoted for the
shell or percent-encoded.
"""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.http.docs.schema import Node, Schemas, kinds, mapping, members, sequence
from gateway.http.docs.text import as_json

_FORMS: Final[Mapping[str, str]] = {
    "date": "2026-04-19",
    "date-time": "2026-04-19T18:42:10Z",
    "decimal": "12.50",
    "duration": "PT1H",
    "email": "name@example.com",
    "time": "18:42:10Z",
    "uri": "https://example.com",
    "uuid": "0198c5f0-7a31-7c52-9d05-3f1be6a1c2d4",
}
_SCALARS: Final[Mapping[str, Any]] = {"string": "string", "boolean": True, "number": 1.5}
_MAX_NESTED: Final = 6
_MAX_ONE_LINE: Final = 60
_PIECE: Final = re.compile(r"([^{]+|\{(?![^{}]+\}))|\{([^{}]+)\}")
_NOT_IN_A_VARIABLE: Final = re.compile(r"[^A-Za-z0-9]+")
_NOT_IN_A_HEADER: Final = re.compile(r"[^A-Za-z0-9-]+")
_FORM_ARGUMENTS: Final[Mapping[str, str]] = {
    "multipart/form-data": "-F",
    "application/x-www-form-urlencoded": "--data-urlencode",
}


def given_example(node: Node) -> Any:
    """Return the declared example of a schema, parameter or media type, or ``None``."""
    if "example" in node:
        return node["example"]
    examples = node.get("examples")
    if named := list(mapping(examples).values()):  # OpenAPI's own form: name → {"value": …}
        return mapping(named[0]).get("value")
    return next(iter(sequence(examples)), None)


def sample(schemas: Schemas, value: Any, *, full: bool, inside: tuple[str, ...] = ()) -> Any:
    """Make a value that fits a schema; ``full`` includes optional fields.

    ``None`` where the schema is recursive or nested too deep to be readable.
    """
    node = mapping(value)
    known = _known(node)
    if known is not None:
        return known
    if isinstance(ref := node.get("$ref"), str):
        if ref in inside or len(inside) >= _MAX_NESTED:
            return None
        return sample(schemas, schemas.resolve(node), full=full, inside=(*inside, ref))
    if union := members(node):
        return sample(schemas, union[0], full=full, inside=inside)
    return _made(schemas, node, full=full, inside=inside)


def curl(schemas: Schemas, method: str, path: str, operation: Node) -> str:
    """Write the curl line of an operation, with required parts only.

    It uses the shell variables ``GATEWAY`` and ``KEY``.
    """
    parameters = [schemas.resolve(each) for each in sequence(operation.get("parameters"))]
    verb = "curl" if method == "GET" else f"curl -X {method}"
    headers = [each for each in parameters if each.get("in") == "header" and _needed(each)]
    arguments = [
        f'{verb} "$GATEWAY{_address(schemas, path, parameters)}"',
        *(f'-H "{each}"' for each in _key_headers(schemas, operation)),
        *(_header(str(each.get("name")), _text(schemas, each)) for each in headers),
        *_body(schemas, schemas.resolve(operation.get("requestBody"))),
    ]
    return " \\\n  ".join(arguments)


def _known(node: Node) -> Any:
    choices = (each for each in sequence(node.get("enum")) if each is not None)
    known = (given_example(node), node.get("const"), node.get("default"), next(choices, None))
    return next((each for each in known if each is not None), None)


def _made(schemas: Schemas, node: Node, *, full: bool, inside: tuple[str, ...]) -> Any:
    kind = "object" if "allOf" in node else next(iter(kinds(node)), "")
    if kind == "object":
        return _object(schemas, node, full=full, inside=inside)
    if kind == "array":
        item = sample(schemas, node.get("items"), full=full, inside=inside)
        return [] if item is None else [item]
    return _scalar(kind, node)


def _object(schemas: Schemas, node: Node, *, full: bool, inside: tuple[str, ...]) -> dict[str, Any]:
    fields, required = schemas.properties(node)
    wanted = set(fields) if full else required or set(list(fields)[:1])
    made: dict[str, Any] = {}
    for name, schema in fields.items():
        value = sample(schemas, schema, full=full, inside=inside) if name in wanted else None
        if value is not None or name in required:
            made[name] = value
    values = mapping(node.get("additionalProperties"))
    if full and values and not fields:
        made["name"] = sample(schemas, values, full=full, inside=inside)
    return made


def _scalar(kind: str, node: Node) -> Any:
    if kind == "string":
        return _FORMS.get(str(node.get("format")), "string")
    if kind == "integer":
        least = node.get("minimum")
        return math.ceil(least) if isinstance(least, int | float) else 1
    return _SCALARS.get(kind)


def _address(schemas: Schemas, path: str, parameters: Sequence[Node]) -> str:
    """Fill in the path and the query; a path parameter without an example is a variable."""
    given = {each.get("name"): _example_of(each) for each in parameters if each.get("in") == "path"}
    pieces: list[str] = []
    for text, name in _PIECE.findall(path):
        example = given.get(name)
        if name and example is None:
            pieces.append("$" + _NOT_IN_A_VARIABLE.sub("_", name).upper())
        pieces.append(quote(text or str(example or ""), safe="/:"))
    query = "&".join(
        f"{quote(str(each.get('name')), safe='')}={quote(_text(schemas, each), safe='')}"
        for each in parameters
        if each.get("in") == "query" and _needed(each)
    )
    return "".join(pieces) + (f"?{query}" if query else "")


def _key_headers(schemas: Schemas, operation: Node) -> Iterator[str]:
    """Yield the headers of the first accepted security scheme."""
    ways = sequence(operation.get("security"))
    known = mapping(mapping(schemas.document.get("components")).get("securitySchemes"))
    for name in mapping(next(iter(ways), None)):
        scheme = schemas.resolve(known.get(name))
        if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
            yield f"{_NOT_IN_A_HEADER.sub('', str(scheme.get('name')))}: $KEY"
        elif scheme.get("type") == "http" and scheme.get("scheme") == "bearer":
            yield "Authorization: Bearer $KEY"


def _body(schemas: Schemas, body: Node) -> Iterator[str]:
    media, content = next(iter(mapping(body.get("content")).items()), ("", {}))
    if not media:
        return
    if media in _FORM_ARGUMENTS:
        yield from _form(schemas, mapping(content).get("schema"), _FORM_ARGUMENTS[media])
        return
    yield _header("Content-Type", media)
    if "json" not in media:
        yield "--data-binary @FILE"
        return
    value = given_example(mapping(content))
    if value is None:
        value = sample(schemas, mapping(content).get("schema"), full=False)
    line = as_json(value)
    if len(line) > _MAX_ONE_LINE:
        line = as_json(value, indent=2).replace("\n", "\n  ")
    yield f"-d {_quoted(line)}"


def _form(schemas: Schemas, schema: Any, argument: str) -> Iterator[str]:
    fields, required = schemas.properties(schema)
    for name in [each for each in fields if each in required] or list(fields)[:1]:
        is_file = schemas.words(fields[name]) == "file"
        value = "@FILE" if is_file else sample(schemas, fields[name], full=False)
        yield f"{argument} {_quoted(f'{name}={value}')}"


def _needed(parameter: Node) -> bool:
    return parameter.get("required") is True


def _example_of(parameter: Node) -> Any:
    own = given_example(parameter)
    return _known(mapping(parameter.get("schema"))) if own is None else own


def _text(schemas: Schemas, parameter: Node) -> str:
    own = _example_of(parameter)
    value = sample(schemas, parameter.get("schema"), full=False) if own is None else own
    if isinstance(value, str):
        return value
    return "value" if value is None else as_json(value)


def _header(name: str, value: str) -> str:
    return f"-H {_quoted(f'{name}: {value}')}"


def _quoted(text: str) -> str:
    """Quote for the shell, with double quotes where they are safe."""
    return f'"{text}"' if re.fullmatch(r"[\w @=:/,.+-]+", text) else shlex.quote(text)
