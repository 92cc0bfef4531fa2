"""A JSON Schema in words: its type, what else holds, its fields."""

from typing import Any

import pytest
from html_page import Page, shown

from gateway.http.docs.example import sample
from gateway.http.docs.schema import Schemas

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Order": {"title": "Order", "properties": {"patient_name": {"type": "string"}}},
            "Refusal": {"properties": {"error": {"type": "string"}}, "required": ["error"]},
        }
    }
}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "date-time"}, "string, date-time"),
        ({"type": "string", "contentEncoding": "base64"}, "string, base64"),
        ({"type": "string", "format": "binary"}, "file"),
        ({"type": "string", "contentMediaType": "application/octet-stream"}, "file"),
        ({"type": ["null", "string"]}, "string or null"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "integer or null"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "string or integer"),
        ({"enum": ["a", None]}, "string or null"),
        ({"enum": [1, 2.5]}, "integer or number"),
        ({"const": True}, "boolean"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "list of (string or null)"),
        ({"type": "array"}, "list of anything"),
        ({"type": "object"}, "object"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "map of integer"),
        ({"properties": {}}, "object"),
        ({"allOf": [{"$ref": "#/components/schemas/Order"}], "description": "x"}, "Order"),
        ({"$ref": "#/components/schemas/Nowhere"}, "Nowhere"),
        ({"type": "null"}, "null"),
        ({}, "anything"),
        (True, "anything"),
        (False, "nothing"),
    ],
)
def test_a_type_in_words(schema, words):
    assert shown(Schemas(DOCUMENT, {}).words(schema)) == words


@pytest.mark.parametrize(
    ("schema", "remarks"),
    [
        ({"minLength": 1, "maxLength": 9}, ["1 to 9 characters"]),
        ({"minLength": 3, "maxLength": 3}, ["3 characters"]),
        ({"minimum": 0}, ["at least 0"]),
        ({"maximum": 1000000.0}, ["at most 1000000"]),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, ["more than 0", "less than 0.5"]),
        ({"multipleOf": 0.01}, ["a multiple of 0.01"]),
        (
            {"minItems": 1, "maxItems": 100, "uniqueItems": True},
            ["1 to 100 items", "each only once"],
        ),
        ({"pattern": "^[A-Z]<"}, ["matches ^[A-Z]<"]),
        ({"const": "live"}, ["always live"]),
        ({"enum": ["live"]}, ["always live"]),
        ({"enum": ["a", "b", None]}, ["one of a b"]),
        ({"default": False}, ["default false"]),
        ({"default": None}, []),
        ({"examples": [12.5]}, ["for example 12.5"]),
        ({"items": {"maxLength": 5}}, ["each: at most 5 characters"]),
        (
            {"propertyNames": {"maxLength": 5}, "additionalProperties": {"maxLength": 6}},
            ["names: at most 5 characters", "values: at most 6 characters"],
        ),
        ({"anyOf": [{"maxLength": 5}, {"type": "null"}]}, ["at most 5 characters"]),
        ({"minimum": "0", "maximum": True}, []),
    ],
)
def test_the_constraints_of_a_value_are_listed(schema, remarks):
    assert [shown(each) for each in Schemas({}, {}).remarks(schema)] == remarks


def test_the_fields_of_an_object_without_a_name_follow_it_with_a_dot():
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "proof": {"type": "object", "properties": {"lat": {"type": "number"}}},
            "parts": {"type": "array", "items": {"properties": {"din": {"type": "string"}}}},
        },
    }
    page = Page(Schemas({}, {}).structure(schema, "Body"))
    assert page.texts("tr")[1:] == [
        "proofobjectoptional",
        "proof.latnumberoptional",
        "partslist of objectoptional",
        "parts[].dinstringoptional",
    ]
    assert page.texts("p") == ["No other fields are taken."]


def test_a_list_shows_the_fields_of_its_items():
    schema = {"type": "array", "items": {"$ref": "#/components/schemas/Refusal"}}
    page = Page(Schemas(DOCUMENT, {}).structure(schema, "Body"))
    assert page.all("aria-label") == ["Body: each item"]
    assert page.texts("tr")[1:] == ["errorstringrequired"]


def test_each_alternative_of_a_body_has_its_own_table():
    schema = {
        "oneOf": [
            {"$ref": "#/components/schemas/Order"},
            {"$ref": "#/components/schemas/Refusal"},
            {"type": "null"},
        ]
    }
    page = Page(Schemas(DOCUMENT, {}).structure(schema, "Body"))
    assert page.texts("p", class_="either") == ["Order", "Refusal"]
    assert page.all("aria-label") == ["Body: alternative 1", "Body: alternative 2"]


def test_the_docstring_of_a_struct_loses_its_margin():
    schema = {"description": "What it is.\n\n    And what it isn't.\n    "}
    assert Schemas({}, {}).about(schema) == "<p>What it is.</p><p>And what it isn&#x27;t.</p>"


def test_an_object_made_of_parts_has_the_fields_of_them_all():
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Refusal"},
            {"properties": {"hint": {"type": "string"}}},
        ]
    }
    schemas = Schemas(DOCUMENT, {})
    fields, required = schemas.properties(schema)
    assert (list(fields), required) == (["error", "hint"], {"error"})
    assert sample(schemas, schema, full=True) == {"error": "string", "hint": "string"}


def test_a_reference_may_be_escaped():
    document = {"components": {"schemas": {"a/b~c d": {"title": "Odd", "type": "integer"}}}}
    ref = {"$ref": "#/components/schemas/a~1b~0c%20d"}
    assert Schemas(document, {}).resolve(ref) == {"title": "Odd", "type": "integer"}
    assert Schemas(document, {}).resolve({"$ref": "https://elsewhere.example/a.json"}) == {}
