"""The page at ``/docs``: the OpenAPI document as one self-contained HTML page.

::

    page             the whole page: how to authenticate, errors, contents, operations, schemas
    operation        one operation
    example          a value that fits a schema; a curl line
    schema           a schema in words and tables
    text             plain text, JSON and code as HTML
    style            the style sheet and the script

All text of the document is escaped. The page loads nothing, and its content security
policy would refuse it.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any, Final

from gateway.errors import GatewayError
from gateway.http.docs.example import sample
from gateway.http.docs.operation import (
    Operation,
    heading,
    method_html,
    operation_html,
    read_operations,
)
from gateway.http.docs.schema import Node, Schemas, mapping, sequence
from gateway.http.docs.style import ICON, POLICY, SCRIPT, STYLE
from gateway.http.docs.text import inline, json_panel, panel_of, prose, table
from gateway.http.errors import STATUS

_DOCUMENT_ADDRESS: Final = "/openapi.json"
_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9_.]+")
_SCHEMAS: Final = "#/components/schemas/"
_ERROR_EXAMPLE: Final[Mapping[str, Any]] = {
    "error": "The request body doesn't fit.",
    "code": "invalid_input",
    "details": [{"index": 0, "field": "patient_name", "message": "patient_name is required"}],
}
_MEANINGS: Final[Mapping[int, str]] = {
    429: "`Retry-After` says in how many seconds to come back.",
    500: "An unexpected failure of the gateway; the error names the request's id in its log.",
}
_KEYS: Final = """
The gateway's operator creates keys with `gateway keys create`; each is shown once. A key
that begins with `sk_test_` works like one that begins with `sk_live_`, on test data only.

The examples on this page read the gateway's address and your key from shell variables.
"""
_ERRORS: Final = """
Every refusal has one shape: `error` is a sentence for a person, `code` a stable word for a
program, `details` the problems by item and field (`[]` when there are none). No submitted
value is repeated.

Every answer has the header `X-Request-Id`: quote it when you ask the operator about a request.
"""


@dataclass(frozen=True, slots=True)
class _Outline:
    """The page's structure: schemas, and operations by id under their tags."""

    schemas: Schemas
    groups: Mapping[str, Mapping[str, Operation]]
    tags: Mapping[str, str]


@dataclass(slots=True)
class _Ids:
    """Makes unique ids that are stable from release to release."""

    taken: set[str] = field(default_factory=set)

    def take(self, *words: str) -> str:
        plain = "-".join(_NOT_IN_AN_ID.sub("-", word).strip("-") for word in words)
        name, number = plain, 1
        while name in self.taken:
            number += 1
            name = f"{plain}-{number}"
        self.taken.add(name)
        return name


def render_page(document: Mapping[str, Any]) -> str:
    """Return the page for ``document``, an OpenAPI 3.1 document as plain data."""
    outline = _outline(document)
    info = mapping(document.get("info"))
    title = escape(str(info.get("title") or "API"))
    version = escape(str(info.get("version") or ""))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{title} {version}</title><link rel="icon" href="{escape(ICON)}">'
        f"<style>{STYLE}</style></head><body>"
        '<a class="skip" href="#main">Skip to the content</a>'
        f'<header class="bar"><a class="brand" href="#main"><span aria-hidden="true">℞</span>'
        f'<b>{title}</b></a><a class="raw" href="{_DOCUMENT_ADDRESS}">openapi.json</a>'
        '<button type="button" popovertarget="contents">Contents</button></header>'
        f'<div class="frame">{_contents(outline)}<main id="main">'
        f'<div class="hero"><h1>{title}</h1><p class="facts"><span>Version {version}</span>'
        f"<span>OpenAPI {escape(str(document.get('openapi') or ''))}</span>"
        f'<a href="{_DOCUMENT_ADDRESS}">The document as JSON</a></p>'
        f"{prose(str(info.get('description') or ''))}</div>"
        f"{_body(outline)}</main></div><script>{SCRIPT}</script></body></html>"
    )


def _outline(document: Node) -> _Outline:
    ids = _Ids()
    names = mapping(mapping(document.get("components")).get("schemas"))
    schemas = Schemas(
        document,
        {
            _SCHEMAS + name.replace("~", "~0").replace("/", "~1"): ids.take("schema", name)
            for name in names
        },
    )
    groups: dict[str, dict[str, Operation]] = {
        str(mapping(tag).get("name")): {} for tag in sequence(document.get("tags"))
    }
    for operation in read_operations(schemas):
        anchor = ids.take(operation.method.lower(), operation.path)
        groups.setdefault(operation.tag, {})[anchor] = operation
    used = {tag: operations for tag, operations in groups.items() if operations}
    return _Outline(schemas, used, {tag: ids.take("tag", tag) for tag in used})


def _contents(outline: _Outline) -> str:
    groups = [
        _link(anchor, escape(tag))
        + _links(
            (place, method_html(each.method) + f"<span>{escape(each.title)}</span>")
            for place, each in outline.groups[tag].items()
        )
        for tag, anchor in outline.tags.items()
    ]
    names = _links(
        (anchor, escape(outline.schemas.title(ref)))
        for ref, anchor in outline.schemas.anchors.items()
    )
    items = [
        _link("authentication", "Authentication"),
        _link("errors", "Errors"),
        *groups,
        _link("schemas", "Schemas") + f"<details><summary>All of them</summary>{names}</details>",
    ]
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<nav id="contents" popover aria-label="Contents"><ul>{listed}</ul></nav>'


def _body(outline: _Outline) -> str:
    errors = _error_ref(outline)
    said = {
        mapping(tag).get("name"): str(mapping(tag).get("description") or "")
        for tag in sequence(outline.schemas.document.get("tags"))
    }
    groups = (
        f'<section id="{anchor}">{heading(2, tag, anchor)}{prose(said.get(tag, ""))}'
        + "".join(
            operation_html(outline.schemas, operation, place, errors)
            for place, operation in outline.groups[tag].items()
        )
        + "</section>"
        for tag, anchor in outline.tags.items()
    )
    return "".join(
        [
            _authentication(outline.schemas.document),
            _errors(outline.schemas, errors),
            *groups,
            _schemas(outline.schemas),
        ]
    )


def _authentication(document: Node) -> str:
    schemes = mapping(mapping(document.get("components")).get("securitySchemes"))
    ways = "".join(map(_way, map(mapping, schemes.values()))) or "<p>No key is needed.</p>"
    server = str(mapping(next(iter(sequence(document.get("servers"))), None)).get("url"))
    if "://" in server:
        address = escape(shlex.quote(server.rstrip("/")))
    else:  # the script fills in the origin of the page
        address = '"<span data-origin>http://127.0.0.1:8080</span>"'
    shell = f'export GATEWAY={address}\nexport KEY="sk_test_…"'
    return (
        f'<section class="entry" id="authentication">'
        f'{heading(2, "Authentication", "authentication")}<div class="columns">'
        f'<div class="about">{ways}{prose(_KEYS)}</div>'
        f'<div class="samples">{panel_of(shell, "Shell")}</div></div></section>'
    )


def _way(scheme: Node) -> str:
    """Describe one security scheme."""
    name = escape(str(scheme.get("name") or ""))
    if scheme.get("type") == "apiKey":
        place = {"query": "query parameter", "cookie": "cookie"}.get(
            str(scheme.get("in")), "header"
        )
        how = f"Send your key with every request, in the {place} <code>{name}</code>."
    elif scheme.get("type") == "http":
        kind = escape(str(scheme.get("scheme") or "").capitalize())
        how = f"Send <code>Authorization: {kind} …</code> with every request."
    else:
        how = f"Authenticate by {escape(str(scheme.get('type') or 'agreement'))}."
    return f"<p>{how}</p>{prose(str(scheme.get('description') or ''))}"


def _errors(schemas: Schemas, ref: str) -> str:
    meanings = {status: [_first_sentence(kind)] for kind, status in STATUS.items()}
    for status, sentence in _MEANINGS.items():
        meanings.setdefault(status, []).append(sentence)
    rows = [
        (
            f'<span class="status no">{status}</span>',
            escape(HTTPStatus(status).phrase),
            " ".join(map(inline, meanings[status])),
        )
        for status in sorted(meanings)
    ]
    shape = schemas.structure({"$ref": ref}, "The error shape") if ref else ""
    return (
        f'<section class="entry" id="errors">{heading(2, "Errors", "errors")}'
        f'<div class="columns"><div class="about">{prose(_ERRORS)}'
        f"<h3>Shape</h3>{shape}<h3>Statuses</h3>"
        f"{table('Statuses', ('Status', 'Name', 'Meaning'), rows)}</div>"
        f'<div class="samples">{json_panel(_ERROR_EXAMPLE, "Response 400")}</div></div></section>'
    )


def _first_sentence(error: type[GatewayError]) -> str:
    return (error.__doc__ or "").partition("\n")[0].partition(". ")[0].removesuffix(".") + "."


def _schemas(schemas: Schemas) -> str:
    entries = "".join(_schema(schemas, ref, anchor) for ref, anchor in schemas.anchors.items())
    return f'<section id="schemas">{heading(2, "Schemas", "schemas")}{entries}</section>'


def _schema(schemas: Schemas, ref: str, anchor: str) -> str:
    node = schemas.resolve({"$ref": ref})
    title = schemas.title(ref)
    fields = schemas.structure(node, title) or f"<p>{schemas.words(node)}</p>"
    example = sample(schemas, {"$ref": ref}, full=True)
    shown = json_panel(example, "Example") if isinstance(example, dict | list) else ""
    return (
        f'<section class="entry" id="{anchor}">{heading(3, title, anchor)}'
        f'<div class="columns"><div class="about">{schemas.about(node)}{fields}</div>'
        f'<div class="samples">{shown}</div></div></section>'
    )


def _error_ref(outline: _Outline) -> str:
    """Return the ``$ref`` of the error shape: the most common one among refusals."""
    found = Counter(
        mapping(mapping(content).get("schema")).get("$ref", "")
        for group in outline.groups.values()
        for operation in group.values()
        for status, response in mapping(operation.spec.get("responses")).items()
        if not str(status).startswith(("1", "2", "3"))
        for content in mapping(outline.schemas.resolve(response).get("content")).values()
    )
    return found.most_common(1)[0][0] if found else ""


def _link(anchor: str, content: str) -> str:
    return f'<a href="#{anchor}">{content}</a>'


def _links(entries: Iterable[tuple[str, str]]) -> str:
    return "<ul>" + "".join(f"<li>{_link(*entry)}</li>" for entry in entries) + "</ul>"
