"""One operation of the API: read from the document, written as HTML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from typing import Any, Final

from gateway.http.docs.example import curl, given_example, sample
from gateway.http.docs.schema import OR_NULL, Node, Schemas, mapping, requirement, sequence
from gateway.http.docs.text import (
    code,
    inline,
    json_panel,
    named,
    panel,
    prose,
    table,
    without_curl,
)

_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_PARAMETER_HEADINGS: Final = ("Name", "Where", "Type", "Required", "Description")
_STATUSES: Final = {str(each.value): each for each in HTTPStatus}
_UNTAGGED: Final = "Other"
_BRACED: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method at a path. ``spec`` includes what the path and the document declare for it."""

    method: str
    path: str
    tag: str
    spec: Node

    @property
    def title(self) -> str:
        """Its summary, or its method and path."""
        return str(self.spec.get("summary") or f"{self.method} {self.path}")

    @property
    def needs_key(self) -> bool:
        """Whether it refuses callers without a key."""
        ways = sequence(self.spec.get("security"))
        return bool(ways) and all(ways)


def read_operations(schemas: Schemas) -> Iterator[Operation]:
    """Yield the operations in the document's order."""
    for path, item in mapping(schemas.document.get("paths")).items():
        node = schemas.resolve(item)
        for method in _METHODS:
            if method in node:
                yield _read(schemas, method, path, node)


def operation_html(schemas: Schemas, operation: Operation, anchor: str, errors: str) -> str:
    """Write an operation; ``errors`` is the ``$ref`` of the error shape, shown elsewhere."""
    spec, title = operation.spec, operation.title
    said, requests = without_curl(str(spec.get("description") or ""))
    if "curl " not in said and not requests:
        requests = [curl(schemas, operation.method, operation.path, spec)]
    samples = "".join(panel(request, "Request") for request in requests)
    parts = [
        prose(said),
        _parameters(schemas, spec),
        _request_body(schemas, schemas.resolve(spec.get("requestBody"))),
        _responses(schemas, spec, errors),
    ]
    return (
        f'<section class="entry" id="{escape(anchor)}">'
        f"{heading(3, title, anchor)}{_address(operation)}"
        f'<div class="columns"><div class="about">{"".join(parts)}</div>'
        f'<div class="samples">{samples}{_responses_shown(schemas, spec)}</div></div></section>'
    )


def heading(level: int, title: str, anchor: str) -> str:
    """Write a heading that links to itself, the id ``anchor``."""
    name = escape(title)
    return (
        f'<h{level}>{name} <a class="here" href="#{escape(anchor)}" '
        f'aria-label="Link to {name}">#</a></h{level}>'
    )


def method_html(method: str) -> str:
    """Write the badge of a method."""
    return f'<span class="method {escape(method.lower())}">{escape(method)}</span>'


def _read(schemas: Schemas, method: str, path: str, item: Node) -> Operation:
    spec = mapping(item[method])
    tag = next(iter(sequence(spec.get("tags"))), _UNTAGGED)
    shared, own = (
        {(each.get("in"), each.get("name")): each for each in map(schemas.resolve, listed)}
        for listed in (sequence(item.get("parameters")), sequence(spec.get("parameters")))
    )
    merged = {
        **spec,
        "parameters": list((shared | own).values()),
        "security": spec.get("security", schemas.document.get("security", [])),
    }
    return Operation(method.upper(), path, str(tag), merged)


def _address(operation: Operation) -> str:
    marks = [
        *([] if operation.needs_key else ["no key needed"]),
        *(["deprecated"] if operation.spec.get("deprecated") is True else []),
    ]
    badges = "".join(f'<span class="mark">{mark}</span>' for mark in marks)
    path = _BRACED.sub(r"<var>\g<0></var>", escape(operation.path))
    return f'<p class="address">{method_html(operation.method)} <code>{path}</code>{badges}</p>'


def _parameters(schemas: Schemas, spec: Node) -> str:
    rows = [
        (
            named(str(each.get("name"))),
            escape(str(each.get("in"))),
            _without_null(schemas.words(each.get("schema"))),
            requirement(required=each.get("required") is True),
            schemas.about(each.get("schema"), str(each.get("description") or "")),
        )
        for each in spec["parameters"]
    ]
    return f"<h4>Parameters</h4>{table('Parameters', _PARAMETER_HEADINGS, rows)}" if rows else ""


def _without_null(words: str) -> str:
    """Drop the null: parameters are text, so a null one is an absent one."""
    return words.removesuffix(OR_NULL)


def _request_body(schemas: Schemas, body: Node) -> str:
    contents = mapping(body.get("content"))
    if not contents:
        return ""
    parts = [
        f"<p>{words} as {code(media)}</p>"
        + _remarks(schemas, schema)
        + schemas.structure(schema, "Request body")
        + _nested(schemas, schema)
        for media, schema, words in _described(schemas, contents)
    ]
    optional = "" if body.get("required") is True else " (optional)"
    said = prose(str(body.get("description") or ""))
    return f"<h4>Request body{optional}</h4>{said}{''.join(parts)}"


def _nested(schemas: Schemas, schema: Any) -> str:
    """Write the fields of the structs in a body; several are folded."""
    found = [(ref, schemas.structure({"$ref": ref}, "Fields")) for ref in schemas.inner(schema)]
    tables = [(escape(schemas.title(ref)), fields) for ref, fields in found if fields]
    state = " open" if len(tables) == 1 else ""
    return "".join(
        f"<details{state}><summary>Fields of {title}</summary>{fields}</details>"
        for title, fields in tables
    )


def _responses(schemas: Schemas, spec: Node, errors: str) -> str:
    rows: list[tuple[str, str, str]] = []
    shapes: list[str] = []
    for status, value in mapping(spec.get("responses")).items():
        response = schemas.resolve(value)
        contents = mapping(response.get("content"))
        answers = [
            '<a href="#errors">the error shape</a>'
            if mapping(schema).get("$ref") == errors
            else words
            for _, schema, words in _described(schemas, contents)
        ]
        shapes += (
            schemas.structure(schema, f"Response {status}")
            for _, schema, _ in _described(schemas, contents)
            if "$ref" not in mapping(schema)
        )
        said = inline(_meaning(str(status), str(response.get("description") or "")))
        rows.append((_status(str(status)), said, " or ".join(answers) or "no body"))
    if not rows:
        return ""
    listed = table("Responses", ("Status", "Meaning", "Body"), rows)
    return f"<h4>Responses</h4>{listed}{''.join(shapes)}"


def _meaning(status: str, description: str) -> str:
    """Prefer a status's name to the standard library's description of it."""
    known = _STATUSES.get(status)
    return known.phrase if known and description in {known.description, ""} else description


def _status(status: str) -> str:
    kind = "ok" if status.startswith("2") else "no"
    shown = "other" if status == "default" else status
    return f'<span class="status {kind}">{escape(shown)}</span>'


def _responses_shown(schemas: Schemas, spec: Node) -> str:
    """Write the examples of successful answers."""
    panels: list[str] = []
    for status, value in mapping(spec.get("responses")).items():
        if str(status).startswith("2"):
            contents = mapping(schemas.resolve(value).get("content"))
            media, content = next(iter(contents.items()), ("", {}))
            example = given_example(mapping(content))
            if example is None and "json" in media:
                example = sample(schemas, mapping(content).get("schema"), full=True)
            if isinstance(example, dict | list):
                panels.append(json_panel(example, f"Response {status}"))
    return "".join(panels)


def _described(schemas: Schemas, contents: Node) -> Iterator[tuple[str, Any, str]]:
    """Yield media type, schema, and the schema in words (HTML)."""
    for media, content in contents.items():
        schema = mapping(content).get("schema", {})
        yield media, schema, schemas.words(schema)


def _remarks(schemas: Schemas, schema: Any) -> str:
    remarks = " · ".join(schemas.remarks(schema))
    return f'<p class="fine">{remarks}</p>' if remarks else ""
