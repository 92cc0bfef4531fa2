"""The page at /docs shows all of an OpenAPI document, loads nothing, and takes text for text."""

import asyncio
import base64
import copy
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from html_page import Page
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.docs.example import sample
from gateway.http.docs.page import render_page
from gateway.http.docs.schema import Schemas
from gateway.http.docs.style import SCRIPT, STYLE
from gateway.http.errors import STATUS
from gateway.settings import parse_settings
from gateway.testing import GatewayHarness

NASTY = "</td></code></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
ERROR = {"$ref": "#/components/schemas/Refusal"}
PAGE_OF_ORDERS = {"$ref": "#/components/schemas/Order"}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Lakeside <gateway>", "version": "1.2.3", "description": "What it *is*."},
    "servers": [{"url": "/"}],
    "security": [{"key": []}],
    "tags": [{"name": "Orders", "description": "Orders come in here."}],
    "paths": {
        "/health/live": {
            "get": {
                "tags": ["Health"],
                "summary": "It answers",
                "security": [],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"type": "string"}}}}
                },
            }
        },
        "/orders": {
            "parameters": [{"name": "X-Trace", "in": "header", "schema": {"type": "string"}}],
            "post": {
                "tags": ["Orders", "Other"],
                "summary": "Hand in an order",
                "description": "One at a time.\n\nThen the next.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": PAGE_OF_ORDERS}},
                },
                "responses": {
                    "201": {"content": {"application/json": {"schema": PAGE_OF_ORDERS}}},
                    "default": {"content": {"application/json": {"schema": ERROR}}},
                },
            },
            "get": {
                "tags": ["Orders"],
                "summary": "List orders",
                "deprecated": True,
                "description": "Newest first.\n\n```bash\ncurl $GATEWAY/orders\n```",
                "parameters": [
                    {
                        "name": "limit",
                        "in": "query",
                        "schema": {"type": "integer", "minimum": 1.0, "maximum": 100.0},
                        "description": "How many at most.",
                    },
                    {
                        "name": "site",
                        "in": "query",
                        "required": True,
                        "schema": {"oneOf": [{"type": "string"}, {"type": "null"}]},
                    },
                ],
                "responses": {
                    "200": {
                        "description": "Request fulfilled, document follows",
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": PAGE_OF_ORDERS}
                            }
                        },
                    }
                },
            },
        },
        "/orders/{order_id}": {
            "delete": {
                "parameters": [
                    {
                        "name": "order_id",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {"204": {"description": "Gone"}},
            }
        },
    },
    "components": {
        "schemas": {
            "Refusal": {
                "title": "Refusal",
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
            },
            "Order": {
                "title": "Order",
                "type": "object",
                "description": "What a patient gets.",
                "properties": {
                    "patient_name": {
                        "type": "string",
                        "maxLength": 200,
                        "description": "As on the bag.",
                        "examples": ["Maria O'Neil"],
                    },
                    "priority": {"enum": ["routine", "stat"], "default": "routine"},
                    "address": {"$ref": "#/components/schemas/Address"},
                    "replaces": {
                        "anyOf": [{"$ref": "#/components/schemas/Order"}, {"type": "null"}],
                        "default": None,
                    },
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
                },
                "required": ["patient_name", "address"],
            },
            "Address": {
                "type": "object",
                "properties": {"line": {"type": "string"}, "country": {"const": "CA"}},
                "required": ["line"],
            },
            "Node": {"$ref": "#/components/schemas/Node"},
        },
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
    },
}


def section(anchor: str) -> Page:
    """Return one part of the page of ``DOCUMENT``, up to the next section."""
    html = render_page(DOCUMENT)
    start = html.index(f'id="{anchor}"')
    start = html.rindex("<section", 0, start)
    end = html.find("</div></section>", start)
    return Page(html[start:end] + "</div></section>")


def poisoned(value: Any) -> Any:
    """Put nasty text into every string that isn't the document's grammar, and into every name."""
    if isinstance(value, dict):
        return {_name(key): _kept(key, each) for key, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return value + NASTY if isinstance(value, str) else value


def _name(key: str) -> str:
    grammar = key in GRAMMAR or key.isdecimal() or key.startswith("application/")
    return key if grammar else key + NASTY


def _kept(key: str, value: Any) -> Any:
    return value if key in {"$ref", "type", "in"} and isinstance(value, str) else poisoned(value)


GRAMMAR = {
    "openapi",
    "info",
    "title",
    "version",
    "description",
    "servers",
    "url",
    "security",
    "tags",
    "name",
    "paths",
    "get",
    "post",
    "delete",
    "summary",
    "responses",
    "content",
    "schema",
    "type",
    "parameters",
    "in",
    "requestBody",
    "required",
    "default",
    "oneOf",
    "anyOf",
    "items",
    "components",
    "schemas",
    "securitySchemes",
    "properties",
    "enum",
    "const",
    "examples",
    "$ref",
    "maxLength",
    "minimum",
    "maximum",
    "deprecated",
    "Order",
    "Address",
    "Refusal",
}


@pytest.fixture(scope="module")
def small() -> str:
    return render_page(DOCUMENT)


@pytest.fixture(scope="module")
def nasty() -> str:
    document = poisoned(copy.deepcopy(DOCUMENT))
    document["components"]["schemas"]["Odd"] = {"type": NASTY, "format": NASTY, "title": NASTY}
    document["components"]["securitySchemes"]["odd"] = {"type": NASTY}
    document["paths"][f"/odd/{{{NASTY}}}"] = {
        "put": {
            "parameters": [{"name": NASTY, "in": NASTY, "schema": {"type": "string"}}],
            "requestBody": {"content": {NASTY: {"schema": {"$ref": NASTY}}}},
            "responses": {NASTY: {"content": {NASTY: {"schema": {"format": NASTY}}}}},
        }
    }
    return render_page(document)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The page and the document of a gateway with stock plugins, as they come over HTTP."""
    toml = "[plugins.json_api]\n[plugins.webhooks]\n"
    directory = tmp_path_factory.mktemp("gateway")
    configured = parse_settings(toml, source=None, directory=directory, environ={})

    async def fetch() -> tuple[str, dict[str, Any]]:
        async with GatewayHarness(configured) as gateway:
            page, document = await gateway.get("/docs"), await gateway.get("/openapi.json")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        return page.text, document.json()

    return asyncio.run(fetch())


@pytest.fixture(scope="module")
def real(served: tuple[str, dict[str, Any]]) -> str:
    return served[0]


@pytest.fixture(params=["small", "nasty", "real"])
def any_page(request: pytest.FixtureRequest) -> Page:
    return Page(request.getfixturevalue(request.param))


# Whatever the document


def test_the_page_is_well_formed(any_page):
    assert any_page.unbalanced == []


def test_nothing_is_loaded_from_anywhere(any_page):
    assert any_page.all("src") == []
    loaded = [attrs["href"] for tag, attrs, _ in any_page.elements if tag == "link"]
    assert [href.partition(",")[0] for href in loaded] == ["data:image/svg+xml"]
    assert not {"iframe", "object", "embed", "form", "base", "img"} & {
        tag for tag, _, _ in any_page.elements
    }
    assert not re.search(r"url\(|@import|https?:", STYLE)
    assert not re.search(r"https?:|fetch|import\b", SCRIPT.replace("Away from https", ""))


def test_links_lead_to_the_page_itself_or_to_the_document(any_page):
    links = {attrs["href"] for tag, attrs, _ in any_page.elements if tag == "a"}
    assert {link for link in links if not link.startswith("#")} == {"/openapi.json"}


def test_every_id_is_there_once_and_every_link_has_its_target(any_page):
    ids = any_page.all("id")
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z][\w.-]*", each) for each in ids)
    internal = {href[1:] for href in any_page.all("href") if href.startswith("#")}
    assert internal <= set(ids)
    assert set(any_page.all("popovertarget")) <= set(ids)


def test_headings_go_down_one_level_at_a_time(any_page):
    levels = [int(tag[1]) for tag, _, _ in any_page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(lower - upper <= 1 for upper, lower in pairwise(levels))


def test_there_are_landmarks_a_language_and_a_way_to_skip_the_contents(any_page):
    tags = [tag for tag, _, _ in any_page.elements]
    assert [tags.count(each) for each in ("main", "nav", "header", "title")] == [1, 1, 1, 1]
    assert any_page.elements[0] == ("html", {"lang": "en"}, any_page.elements[0][2])
    first_link = next(attrs for tag, attrs, _ in any_page.elements if tag == "a")
    assert first_link == {"class": "skip", "href": "#main"}


def test_the_only_script_and_style_are_ours_and_the_policy_names_them(any_page):
    policy = next(attrs["content"] for _, attrs, _ in any_page.elements if "http-equiv" in attrs)
    bodies = {
        tag: "".join(text) for tag, _, text in any_page.elements if tag in {"script", "style"}
    }
    assert bodies == {"script": SCRIPT, "style": STYLE}
    assert [tag for tag, _, _ in any_page.elements if tag in bodies] == ["style", "script"]
    hashes = {
        tag: base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        for tag, body in bodies.items()
    }
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes['style']}'; "
        f"script-src 'sha256-{hashes['script']}'; base-uri 'none'; form-action 'none'"
    )


def test_nothing_in_a_document_becomes_markup(nasty, small):
    page = Page(nasty)
    harmless = Page(small)
    assert {tag for tag, _, _ in page.elements} == {tag for tag, _, _ in harmless.elements}
    assert not [name for _, attrs, _ in page.elements for name in attrs if name.startswith("on")]
    assert "alert(1)" not in "".join(page.texts("script"))
    assert "Lakeside <gateway>" + NASTY in page.texts("h1")


# Reading it


def test_it_begins_with_title_version_and_the_document(small):
    page = Page(small)
    assert page.texts("title") == ["Lakeside <gateway> 1.2.3"]
    assert page.texts("h1") == ["Lakeside <gateway>"]
    assert page.texts("p", class_="facts") == ["Version 1.2.3OpenAPI 3.1.0The document as JSON"]
    assert "What it *is*." in page.texts("p")


def test_it_says_how_to_authenticate():
    page = section("authentication")
    assert page.texts("p")[0] == "Send your key with every request, in the header X-API-Key."
    assert page.texts("pre") == ['export GATEWAY="http://127.0.0.1:8080" export KEY="sk_test_…"']


@pytest.mark.parametrize(
    ("scheme", "sentence"),
    [
        (
            {"type": "apiKey", "in": "query", "name": "k"},
            "Send your key with every request, in the query parameter k.",
        ),
        (
            {"type": "http", "scheme": "bearer"},
            "Send Authorization: Bearer … with every request.",
        ),
        ({"type": "mutualTLS"}, "Authenticate by mutualTLS."),
    ],
)
def test_it_knows_other_ways_to_authenticate(scheme, sentence):
    page = Page(render_page({"components": {"securitySchemes": {"one": scheme}}}))
    assert sentence in page.texts("p")


def test_a_server_that_the_document_names_is_where_the_examples_go():
    page = Page(render_page({"servers": [{"url": "https://gw.example/$(id)/"}]}))
    assert page.texts("pre")[0].startswith("export GATEWAY='https://gw.example/$(id)' ")


def test_the_error_shape_is_shown_once_with_every_status():
    page = section("errors")
    assert [text for text in page.texts("th") if text.isdecimal()] == [
        str(status) for status in sorted({*STATUS.values(), 500})
    ]
    assert "error" in page.texts("th")
    assert json.loads(page.texts("pre")[0])["details"][0]["field"] == "patient_name"
    assert section("post-orders").texts("a", href="#errors") == ["the error shape"]


def test_contents_list_every_operation_under_its_first_tag_in_the_declared_order(small):
    page = Page(small)
    nav = Page(small[small.index("<nav") : small.index("</nav>") + 6])
    assert nav.texts("a") == [
        "Authentication",
        "Errors",
        "Orders",
        "GETList orders",
        "POSTHand in an order",
        "Health",
        "GETIt answers",
        "Other",
        "DELETEDELETE /orders/{order_id}",
        "Schemas",
        "Refusal",
        "Order",
        "Address",
        "Node",
    ]
    assert page.texts("h2") == [
        "Authentication #",
        "Errors #",
        "Orders #",
        "Health #",
        "Other #",
        "Schemas #",
    ]
    assert "Orders come in here." in page.texts("p")


def test_an_operation_has_an_anchor_made_of_its_method_and_path(small):
    ids = Page(small).all("id")
    assert {"get-health-live", "post-orders", "get-orders", "delete-orders-order_id"} <= set(ids)


def test_anchors_that_would_be_the_same_are_numbered():
    paths = {"/a-b": {"get": {}}, "/a/b": {"get": {}}, "/a_b": {"get": {}}}
    ids = Page(render_page({"paths": paths})).all("id")
    assert [each for each in ids if each.startswith("get-")] == ["get-a-b", "get-a-b-2", "get-a_b"]


def test_an_operation_shows_method_path_and_marks():
    assert section("get-health-live").texts("p", class_="address") == [
        "GET /health/liveno key needed"
    ]
    assert section("get-orders").texts("p", class_="address") == ["GET /ordersdeprecated"]
    assert section("delete-orders-order_id").texts("var") == ["{order_id}"]


def test_parameters_are_a_table_with_those_of_the_path_first():
    page = section("get-orders")
    rows = page.texts("tr")
    assert rows[:4] == [
        "NameWhereTypeRequiredDescription",
        "X-Traceheaderstringoptional",
        "limitqueryintegeroptionalHow many at most.1 to 100",
        "sitequerystringrequired",
    ]


def test_a_request_body_is_a_table_of_fields_linked_to_the_structs_they_hold():
    page = section("post-orders")
    assert "Order as application/json" in page.texts("p")
    assert page.texts("tr")[2:8] == [
        "FieldTypeRequiredDescription",
        "patient_namestringrequiredAs on the bag.at most 200 characters · for example Maria O'Neil",
        "prioritystringoptionalone of routine stat · default routine",
        "addressAddressrequired",
        "replacesOrder or nulloptional",
        "partslist of Orderoptional",
    ]
    assert page.texts("a", href="#schema-Address") == ["Address"]
    assert [attrs for tag, attrs, _ in page.elements if tag == "details"] == [{"open": ""}]
    assert page.texts("summary") == ["Fields of Address"]


def test_a_response_says_its_status_in_plain_words_and_links_its_shape():
    assert section("get-orders").texts("tr")[4:6] == ["StatusMeaningBody", "200OKlist of Order"]
    assert section("delete-orders-order_id").texts("tr")[-1] == "204Goneno body"
    assert section("post-orders").texts("tr")[-2:] == [
        "201CreatedOrder",
        "otherthe error shape",
    ]


def test_a_success_is_shown_as_an_example():
    [_, answer] = section("post-orders").texts("pre")
    assert json.loads(answer) == {
        "patient_name": "Maria O'Neil",
        "priority": "routine",
        "address": {"line": "string", "country": "CA"},
        "parts": [],
    }


def test_a_curl_line_of_the_description_takes_the_place_of_the_made_one():
    page = section("get-orders")
    assert page.texts("figcaption") == ["Request", "Response 200"]
    assert page.texts("pre")[0] == "curl $GATEWAY/orders"


def test_a_schema_that_goes_in_a_circle_ends(small):
    page = Page(small)
    assert "schema-Node" in page.all("id")
    schemas = Schemas(DOCUMENT, {})
    assert schemas.resolve({"$ref": "#/components/schemas/Node"}) == {}
    assert sample(schemas, {"$ref": "#/components/schemas/Node"}, full=True) is None


def test_a_document_that_says_nothing_or_nonsense_still_makes_a_page():
    assert Page(render_page({})).texts("h1") == ["API"]
    nonsense = {
        "info": 3,
        "tags": [None],
        "paths": {"/x": {"get": {"tags": 1, "parameters": [7], "responses": [], "security": 2}}},
        "components": {"schemas": {"A": True, "B": {"properties": [], "required": 1, "type": 9}}},
    }
    assert "get-x" in Page(render_page(nonsense)).all("id")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(GRAMMAR)), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(JSON_VALUES, JSON_VALUES)
def test_no_document_makes_the_page_fail(operation, schema):
    document = {
        "paths": {
            "/x": {"post": operation, "get": {"requestBody": {"content": {"a/json": schema}}}}
        },
        "components": {"schemas": {"Order": schema, "Address": {"properties": {"a": schema}}}},
    }
    assert Page(render_page(document)).unbalanced == []


def test_the_page_of_a_gateway_shows_everything_it_serves(served):
    page, document = Page(served[0]), served[1]
    operations = [(path, method) for path, item in document["paths"].items() for method in item]
    shown_paths = [text.split()[1] for text in page.texts("p", class_="address")]
    assert len(shown_paths) == len(operations)
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= set(page.all("id"))
    assert "post-api-webhook-orders" in page.all("id")


# Looks


def _colours() -> Iterator[pytest.param]:
    light, dark = (
        dict(re.findall(r"--([\w-]+):(#[0-9a-f]{3,6})", block))
        for block in re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL)
    )
    pairs = [
        ("ink", "paper"),
        ("soft", "paper"),
        ("soft", "wash"),
        ("accent", "paper"),
        ("accent", "tint"),
        ("code", "wash"),
        ("get", "get-t"),
        ("post", "post-t"),
        ("put", "put-t"),
        ("delete", "delete-t"),
        ("delete", "paper"),
        ("paper", "accent"),
        *((each, "paper") for each in ("get", "post", "put")),
    ]
    for name, palette in (("light", light), ("dark", light | dark)):
        for ink, paper in pairs:
            yield pytest.param(palette[ink], palette[paper], id=f"{name}-{ink}-on-{paper}")
        for token, colour in re.findall(
            r"\.(j-\w+|copy|panel figcaption)\{(?:[^}]*[;\s])?color:(#\w+)", STYLE
        ):
            yield pytest.param(colour, palette["panel"], id=f"{name}-{token}-on-panel")


@pytest.mark.parametrize(("ink", "paper"), list(_colours()))
def test_text_has_enough_contrast_with_its_background(ink, paper):
    """https://www.w3.org/TR/WCAG22/#contrast-minimum ."""
    lighter, darker = sorted((_luminance(ink), _luminance(paper)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
