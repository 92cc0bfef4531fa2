"""JSON Schema in words and tables, for the page at ``/docs``.

https://spec.openapis.org/oas/v3.1.0#schema-object ; unknown keywords and malformed
schemas are left out, so that one mistake doesn't cost the whole page.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import unquote

from gateway.http.docs.text import code, named, prose, table

Node = Mapping[str, Any]

_UNIONS: Final = ("anyOf", "oneOf")
_NULL: Final = "null"
OR_NULL: Final = ' or <span class="may">null</span>'
_NAMES: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    type(None): _NULL,
}
_FIELD_HEADINGS: Final = ("Field", "Type", "Required", "Description")
# Bounds of a value: the two keywords and their unit.
_BOUNDS: Final = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " entries"),
)
_SINGLE: Final[tuple[tuple[str, str], ...]] = (
    ("exclusiveMinimum", "more than "),
    ("exclusiveMaximum", "less than "),
    ("multipleOf", "a multiple of "),
    ("pattern", "matches "),
    ("const", "always "),
)


def mapping(value: Any) -> Node:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    """Return ``value`` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def members(node: Node) -> list[Any]:
    """Return the alternatives of a union, ``null`` last; empty for any other schema."""
    found = [each for key in _UNIONS for each in sequence(node.get(key))]
    return sorted(found, key=lambda each: mapping(each).get("type") == _NULL)


def kinds(node: Node) -> list[str]:
    """Return the JSON types of a schema, ``null`` last; inferred from its values if needed."""
    kind = node.get("type")
    found = [each for each in (sequence(kind) or [kind]) if isinstance(each, str)]
    if not found:
        values = [node["const"]] if "const" in node else sequence(node.get("enum"))
        found = [_NAMES.get(type(each), "object") for each in values]
    if not found:
        found = ["object"] if "properties" in node else ["array"] if "items" in node else []
    return sorted(dict.fromkeys(found), key=lambda each: each == _NULL)


def requirement(*, required: bool) -> str:
    """Write whether a field or a parameter is required (HTML)."""
    return '<span class="must">required</span>' if required else '<span class="may">optional</span>'


@dataclass(frozen=True, slots=True)
class Schemas:
    """The document's schemas. ``anchors`` has the id on the page of each ``$ref``."""

    document: Node
    anchors: Mapping[str, str]

    def resolve(self, value: Any) -> Node:
        """Follow ``$ref``; a circular or dangling one gives an empty schema."""
        node, seen = mapping(value), set[str]()
        while isinstance(ref := node.get("$ref"), str):
            if ref in seen:
                return {}
            seen.add(ref)
            node = self._at(ref)
        return node

    def title(self, ref: str) -> str:
        """Return the title of a named schema."""
        last = unquote(ref.rpartition("/")[2]).replace("~1", "/").replace("~0", "~")
        return str(self.resolve({"$ref": ref}).get("title") or last)

    def words(self, value: Any) -> str:
        """Describe a schema in a few words (HTML): ``list of <a>Order</a> or null``."""
        node = mapping(value)
        if isinstance(ref := node.get("$ref"), str):
            return self._link(ref)
        if union := members(node):
            return _either(self.words(each) for each in union)
        if parts := sequence(node.get("allOf")):
            return " and ".join(self.words(each) for each in parts)
        if fitting := kinds(node):
            return _either(self._kind_words(kind, node) for kind in fitting)
        return "nothing" if value is False else "anything"

    def remarks(self, value: Any) -> list[str]:
        """List further constraints (HTML): bounds, choices, default, an example."""
        node = mapping(value)
        found = [
            *_choices(node),
            *_bounds(node),
            *(f"{words}{code(node[key])}" for key, words in _SINGLE if key in node),
            *(["each only once"] if node.get("uniqueItems") is True else []),
        ]
        inner: tuple[tuple[str, Any], ...] = (
            ("each: ", node.get("items")),
            ("names: ", node.get("propertyNames")),
            ("values: ", node.get("additionalProperties")),
            *(("", each) for each in (*members(node), *sequence(node.get("allOf")))),
        )
        for prefix, schema in inner:
            found += [prefix + remark for remark in self.remarks(schema)] if schema else []
        if node.get("default") is not None:
            found.append(f"default {code(node['default'])}")
        if examples := sequence(node.get("examples")):
            found.append(f"for example {code(examples[0])}")
        return list(dict.fromkeys(found))

    def description(self, value: Any) -> str:
        """Return the description (plain text) of a schema, or of the part that has one."""
        node = mapping(value)
        own = node.get("description")
        if isinstance(own, str):  # msgspec gives a struct's docstring with its indentation
            return inspect.cleandoc(own)
        parts = (*members(node), *sequence(node.get("allOf")))
        return next(filter(None, map(self.description, parts)), "")

    def about(self, value: Any, description: str = "") -> str:
        """Write the description and the constraints of a schema (HTML), for a table cell."""
        remarks = " · ".join(self.remarks(value))
        fine = f'<p class="fine">{remarks}</p>' if remarks else ""
        return prose(description or self.description(value)) + fine

    def structure(self, value: Any, label: str) -> str:
        """Write the table of fields of an object, of a list's items, or of each alternative."""
        node = self.resolve(value)
        if table_ := self._table(node, label):
            return table_
        if isinstance(node.get("items"), Mapping):
            return self._table(self.resolve(node["items"]), f"{label}: each item")
        parts = [
            (self.words(each), self._table(self.resolve(each), f"{label}: alternative {number}"))
            for number, each in enumerate(members(node), 1)
        ]
        return "".join(f'<p class="either">{words}</p>{each}' for words, each in parts if each)

    def properties(self, value: Any, inside: frozenset[str] = frozenset()) -> tuple[Node, set[str]]:
        """Return an object's fields and the names of those required, ``allOf`` included."""
        node = mapping(value)
        if isinstance(ref := node.get("$ref"), str):
            if ref in inside:
                return {}, set()
            return self.properties(self._at(ref), inside | {ref})
        fields: dict[str, Any] = {}
        required = {each for each in sequence(node.get("required")) if isinstance(each, str)}
        for part in sequence(node.get("allOf")):
            more, needed = self.properties(part, inside)
            fields |= more
            required |= needed
        return {**fields, **mapping(node.get("properties"))}, required

    def inner(self, value: Any) -> list[str]:
        """Return the ``$ref`` of each other schema used in an object's or a list's fields."""
        tops = (value, *members(self.resolve(value)))
        nodes = [self.resolve(each) for each in tops]
        parts = [part for node in nodes for part in (node, self.resolve(node.get("items")))]
        fields = [field for part in parts for field in self.properties(part)[0].values()]
        known = {ref for top in tops for ref in _refs(top)}
        return list(
            dict.fromkeys(ref for each in fields for ref in _refs(each) if ref not in known)
        )

    def _table(self, node: Node, label: str) -> str:
        rows = list(self._rows(node, ""))
        if not rows:
            return ""
        closed = node.get("additionalProperties") is False
        note = '<p class="fine">No other fields are taken.</p>' if closed else ""
        return table(label, _FIELD_HEADINGS, rows) + note

    def _rows(self, node: Node, prefix: str) -> Iterator[tuple[str, str, str, str]]:
        """Yield one row per field; fields of inline objects follow, dotted."""
        fields, required = self.properties(node)
        for name, schema in fields.items():
            path = f"{prefix}{name}"
            needed = requirement(required=name in required)
            yield named(path), self.words(schema), needed, self.about(schema)
            yield from self._rows(_unnamed(schema), f"{path}.")
            yield from self._rows(_unnamed(mapping(schema).get("items")), f"{path}[].")

    def _kind_words(self, kind: str, node: Node) -> str:
        if kind == "array":
            inner = self.words(node.get("items", True))
            return f"list of ({inner})" if " or " in inner else f"list of {inner}"
        if kind == "object":
            values = node.get("additionalProperties")
            return f"map of {self.words(values)}" if mapping(values) else "object"
        if kind == "string":
            if node.get("format") == "binary" or "contentMediaType" in node:
                return "file"
            form = node.get("format") or node.get("contentEncoding")
            return f"string, {escape(str(form))}" if form else "string"
        return escape(kind)

    def _link(self, ref: str) -> str:
        title = escape(self.title(ref))
        anchor = self.anchors.get(ref)
        return f'<a href="#{escape(anchor)}">{title}</a>' if anchor else title

    def _at(self, ref: str) -> Node:
        """Resolve a JSON pointer into this document (RFC 6901)."""
        if not ref.startswith("#/"):
            return {}
        node: Any = self.document
        for part in ref[2:].split("/"):
            node = mapping(node).get(unquote(part).replace("~1", "/").replace("~0", "~"))
        return mapping(node)


def _refs(value: Any) -> Iterator[str]:
    """Yield each ``$ref`` of a schema, its items or values, and its alternatives."""
    node = mapping(value)
    if isinstance(ref := node.get("$ref"), str):
        yield ref
    parts = (node.get("items"), node.get("additionalProperties"))
    for part in (*parts, *members(node), *sequence(node.get("allOf"))):
        if part:
            yield from _refs(part)


def _unnamed(value: Any) -> Node:
    """Return an inline schema; a named one has its own section on the page."""
    node = mapping(value)
    return {} if "$ref" in node or "allOf" in node else node


def _either(words: Iterator[str]) -> str:
    """Join alternatives; ``or null`` is set in a muted style."""
    found = list(dict.fromkeys(words))
    if len(found) > 1 and found[-1] == _NULL:
        return " or ".join(found[:-1]) + OR_NULL
    return " or ".join(found)


def _choices(node: Node) -> list[str]:
    values = [each for each in sequence(node.get("enum")) if each is not None]
    if not values:
        return []
    words = "one of" if len(values) > 1 else "always"
    return [f"{words} {' '.join(map(code, values))}"]


def _bounds(node: Node) -> Iterator[str]:
    for low, high, unit in _BOUNDS:
        least, most = _number(node.get(low)), _number(node.get(high))
        if least and most:
            yield f"{least} to {most}{unit}" if least != most else f"{least}{unit}"
        elif least:
            yield f"at least {least}{unit}"
        elif most:
            yield f"at most {most}{unit}"


def _number(value: Any) -> str:
    """Write a bound without the ``.0`` of a whole number; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(int(value) if value == value // 1 else value)
