"""The examples at /docs: values that fit, and curl lines that are safe to paste."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from gateway.http.docs.example import curl, sample
from gateway.http.docs.schema import Schemas

DOCUMENT: dict[str, Any] = {
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    }
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "example": "mine", "examples": ["not mine"]}, "mine"),
        ({"type": "string", "examples": {"one": {"value": "named"}}}, "named"),
        ({"type": "string", "format": "date"}, "2026-04-19"),
        ({"type": "integer", "minimum": 3.0}, 3),
        ({"type": "integer"}, 1),
        ({"type": "number"}, 1.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"anyOf": [{"type": "null"}, {"enum": [None, "b"]}]}, "b"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"name": 1}),
        ({"type": "array", "items": {"type": "string"}}, ["string"]),
    ],
)
def test_a_value_that_fits_a_schema(schema, value):
    assert sample(Schemas({}, {}), schema, full=True) == value


def test_a_request_needs_no_more_than_its_required_fields_or_else_the_first():
    fields = {"a": {"type": "string"}, "b": {"type": "integer"}}
    schemas = Schemas({}, {})
    assert sample(schemas, {"properties": fields, "required": ["b"]}, full=False) == {"b": 1}
    assert sample(schemas, {"properties": fields}, full=False) == {"a": "string"}


def curl_for(method: str, path: str, operation: dict[str, Any]) -> str:
    return curl(Schemas(DOCUMENT, {}), method, path, operation)


def test_a_curl_line_for_reading():
    operation = {
        "security": [{"key": []}],
        "parameters": [
            {"name": "order_id", "in": "path"},
            {"name": "site", "in": "query", "required": True, "example": "main st"},
            {"name": "limit", "in": "query"},
            {"name": "X-Trace", "in": "header", "required": True},
        ],
    }
    assert curl_for("GET", "/orders/{order_id}/{kind}", operation) == (
        'curl "$GATEWAY/orders/$ORDER_ID/$KIND?site=main%20st" \\\n'
        '  -H "X-API-Key: $KEY" \\\n'
        '  -H "X-Trace: value"'
    )


def test_a_path_parameter_with_an_example_is_filled_in():
    operation = {"parameters": [{"name": "id", "in": "path", "schema": {"examples": ["pkg/1"]}}]}
    assert curl_for("DELETE", "/x/{id}/{", operation) == 'curl -X DELETE "$GATEWAY/x/pkg/1/%7B"'


def test_a_short_json_body_is_one_line_and_a_long_one_several():
    short = {"content": {"application/json": {"example": {"a": "it's"}}}}
    assert curl_for("POST", "/x", {"requestBody": short}) == (
        'curl -X POST "$GATEWAY/x" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"a": "it\'"\'"\'s"}\''
    )
    long = {"content": {"application/json": {"schema": {"examples": [{"a": "é" * 60}]}}}}
    made = curl_for("POST", "/x", {"requestBody": long})
    assert made.splitlines()[2:] == ["  -d '{", f'    "a": "{"é" * 60}"', "  }'"]


def test_a_form_and_a_file_are_sent_as_such():
    form = {
        "properties": {"file": {"type": "string", "format": "binary"}, "site": {"default": "main"}},
        "required": ["file", "site"],
    }
    multipart = {"content": {"multipart/form-data": {"schema": form}}}
    assert curl_for("POST", "/x", {"requestBody": multipart}) == (
        'curl -X POST "$GATEWAY/x" \\\n  -F "file=@FILE" \\\n  -F "site=main"'
    )
    csv = {"content": {"text/csv": {}}}
    assert curl_for("POST", "/x", {"requestBody": csv}) == (
        'curl -X POST "$GATEWAY/x" \\\n  -H "Content-Type: text/csv" \\\n  --data-binary @FILE'
    )


@pytest.mark.parametrize(
    ("scheme", "header"),
    [
        ({"type": "http", "scheme": "bearer"}, ' \\\n  -H "Authorization: Bearer $KEY"'),
        ({"type": "openIdConnect"}, ""),
    ],
)
def test_a_bearer_token_is_sent_and_an_unknown_scheme_is_left_out(scheme, header):
    document = {"components": {"securitySchemes": {"t": scheme}}}
    line = curl(Schemas(document, {}), "GET", "/x", {"security": [{"t": []}]})
    assert line == f'curl "$GATEWAY/x"{header}'


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no POSIX shell")
def test_a_curl_line_of_a_hostile_document_runs_nothing_else(tmp_path):
    evil = "\"'`touch a`$(touch b)\\\n; touch c #!{}"
    scheme = {"type": "apiKey", "in": "header", "name": evil}
    operation = {
        "security": [{"k": []}],
        "parameters": [
            {"name": evil, "in": "path", "example": evil},
            {"name": evil, "in": "query", "required": True, "example": evil},
            {"name": evil, "in": "header", "required": True, "example": evil},
        ],
        "requestBody": {"content": {"application/json": {"example": {evil: evil}}}},
    }
    document = {"components": {"securitySchemes": {"k": scheme}}}
    line = curl(Schemas(document, {}), "POST", f"/{evil}/{{{evil}}}", operation)
    script = f'curl() {{ printf "%s\\0" "$@"; }}\n{line}\n'
    ran = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    arguments = ran.stdout.decode().split("\0")
    assert list(tmp_path.iterdir()) == []
    assert ran.stderr == b""
    assert f"{evil}: {evil}" in arguments
    assert json.loads(arguments[arguments.index("-d") + 1]) == {evil: evil}
