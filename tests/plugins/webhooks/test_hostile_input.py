"""Whatever is sent, nothing breaks, and nothing that was sent comes back in a refusal or a log."""

import asyncio
import json
import string
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MARK = "Quackenbush"
URL = f"http://127.0.0.1:9/{MARK}"

AROUND = st.text(st.sampled_from("'\"`\\$.-:,[]{}\n\0é💊 *"), max_size=4)
MARKED = st.builds(lambda before, after: f"{before}{MARK}{after}", AROUND, AROUND)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | MARKED
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(string.ascii_lowercase), inner, max_size=3)
    ),
    max_leaves=5,
)
MOMENTS = st.builds(
    lambda moment, zone: f"{moment.isoformat()}{zone}",
    st.datetimes(),
    st.sampled_from(["Z", "", "+14:00", "-12:00", MARK]),
)
FIELDS = {
    "url": st.sampled_from([URL, f"https://{MARK}:x/", f"http://a@{MARK}/", f"//{MARK}"]),
    "format": st.sampled_from(["scriptrun", "autorx", "standard", f"{MARK}'s"]),
    "events": st.lists(st.sampled_from(["*", "rx.*", MARK, f"{MARK}.*"]), max_size=3),
    "site": st.sampled_from([None, "main", MARK]),
    "description": MARKED,
    "headers": st.dictionaries(st.sampled_from(["X-A", "Host", "a b", ""]), MARKED, max_size=3),
    "max_per_second": st.floats(-1, 1e6),
    "max_in_flight": st.integers(-1, 300),
    "ordered": st.booleans(),
    "status": st.sampled_from(["active", "paused", "disabled", f"{MARK}'s"]),
    "overlap_hours": st.floats(-1, 1000),
    "since": MOMENTS,
    "until": st.none() | MOMENTS,
    "unheard_of": SCALARS,
}
NEARLY_RIGHT = st.fixed_dictionaries(
    {}, optional={name: each | VALUES for name, each in FIELDS.items() if name != "url"}
)
BODIES = (
    NEARLY_RIGHT.map(lambda body: {"url": URL, **body})
    | st.fixed_dictionaries({"since": MOMENTS}, optional={"until": MOMENTS})
    | st.fixed_dictionaries({"overlap_hours": FIELDS["overlap_hours"]})
    | NEARLY_RIGHT
    | FIELDS["url"].map(lambda url: {"url": url})
    | VALUES.map(lambda value: {"url": value})
    | VALUES
).map(lambda body: json.dumps(body).encode())
BROKEN = st.builds(
    lambda body, cut, junk: body[:cut] + junk + body[cut:],
    BODIES,
    st.integers(0, 40),
    st.binary(max_size=4),
)
QUERIES = st.dictionaries(
    st.sampled_from(["endpoint", "event", "outcome", "since", "cursor", "limit", "unheard_of"]),
    MARKED
    | st.sampled_from(["delivered", "1", "-1", "9" * 30, "1e999", "2026-99-99", "0001-01-01"]),
    max_size=4,
).map(urlencode)
PATHS = (MARKED | st.text(max_size=5)).map(lambda text: quote(text, safe=""))

thorough = settings(max_examples=150, deadline=None, database=None, derandomize=True)


@pytest.fixture(autouse=True)
def nothing_in_the_log(caplog):
    """Hold, after each test, that the log contains nothing that was sent, and no fault."""
    caplog.set_level("DEBUG", logger="gateway")
    yield
    of_the_test = ("httpx", "httpcore")  # the client that plays the caller
    records = [each for each in caplog.get_records("call") if not each.name.startswith(of_the_test)]
    lines = [caplog.handler.format(each) for each in records if each.levelname != "DEBUG"]
    lines += [each.getMessage() for each in records if each.name.startswith("gateway")]
    assert not any(MARK in each for each in lines)
    assert [each.name for each in records if each.levelname in {"ERROR", "CRITICAL"}] == []


async def for_each(strategy, check):
    """Run the coroutine function ``check`` on examples, in this loop, with shrinking."""
    loop = asyncio.get_running_loop()

    @thorough
    @given(strategy)
    def examine(example):
        asyncio.run_coroutine_threadsafe(check(example), loop).result(timeout=30)

    await asyncio.to_thread(examine)


def assert_harmless(answer):
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert MARK not in answer.text
        assert MARK not in str(answer.headers)
        assert set(answer.json()) == {"error", "code", "details"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/webhooks/endpoints"),
        ("PATCH", "/webhooks/endpoints/{}"),
        ("POST", "/webhooks/endpoints/{}/rotate"),
        ("POST", "/webhooks/endpoints/{}/recover"),
    ],
    ids=["add", "change", "rotate", "recover"],
)
@pytest.mark.parametrize("bodies", [BODIES, BROKEN], ids=["odd", "broken"])
async def test_no_body_breaks_a_route_or_comes_back(api, method, path, bodies):
    endpoint_id = (await api.add("http://127.0.0.1:9/"))["id"]

    async def check(body):
        answer = await api.call(method, path.format(endpoint_id), body)
        assert_harmless(answer)
        if answer.status_code < 300 and b'"headers"' in body:
            assert list(answer.json()["header_names"]) == list(json.loads(body)["headers"])

    await for_each(bodies, check)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["rotate/finish", "enable"])
async def test_a_route_that_takes_no_body_does_not_mind_one(api, route):
    endpoint_id = (await api.add("http://127.0.0.1:9/"))["id"]

    async def check(body):
        assert_harmless(await api.call("POST", f"/webhooks/endpoints/{endpoint_id}/{route}", body))

    await for_each(BODIES | BROKEN, check)


async def test_no_query_breaks_the_log_or_comes_back(api):
    async def check(query):
        assert_harmless(await api.call("GET", f"/webhooks/logs?{query}"))

    await for_each(QUERIES, check)


@pytest.mark.slow
async def test_no_id_breaks_a_route_or_comes_back(api):
    async def check(name):
        for method, path in (
            ("GET", "/webhooks/endpoints/{}"),
            ("DELETE", "/webhooks/endpoints/{}"),
            ("POST", "/webhooks/endpoints/{}/test"),
            ("GET", "/webhooks/recoveries/{}"),
            ("GET", "/webhooks/deliveries/{}"),
            ("POST", "/webhooks/deliveries/{}/resend"),
        ):
            assert_harmless(await api.call(method, path.format(name)))

    await for_each(PATHS, check)


async def test_no_method_but_those_that_are_there_is_taken(api):
    endpoint_id = (await api.add("http://127.0.0.1:9/"))["id"]
    for method, path in (
        ("PUT", f"/webhooks/endpoints/{endpoint_id}"),
        ("DELETE", "/webhooks/endpoints"),
        ("POST", "/webhooks/logs"),
        ("GET", f"/webhooks/endpoints/{endpoint_id}/test"),
    ):
        answer = await api.call(method, path, {"url": URL} if method != "GET" else None)
        assert answer.status_code == 405
        assert_harmless(answer)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"url"', b"\xff\xfe", b"[" * 100_000]
)
async def test_a_body_that_is_no_object_is_refused(api, body):
    answer = await api.call("POST", "/webhooks/endpoints", body)
    assert answer.status_code == 400
    assert_harmless(answer)


async def test_a_nul_character_is_refused_on_either_database(open_api, database_url):
    async with open_api(f'[database]\nurl = "{database_url}"\n') as api:
        endpoint_id = (await api.add("http://127.0.0.1:9/"))["id"]
        for method, path, body in (
            ("GET", "/webhooks/endpoints/%00", None),
            ("GET", "/webhooks/deliveries/dlv_%00", None),
            ("POST", "/webhooks/deliveries/%00/resend", None),
            ("GET", "/webhooks/logs?event=%00", None),
            ("GET", "/webhooks/logs?endpoint=dst_%00", None),
            ("POST", "/webhooks/endpoints", {"url": URL, "description": f"{MARK}\0"}),
            ("PATCH", f"/webhooks/endpoints/{endpoint_id}", {"description": f"\0{MARK}"}),
            ("PATCH", f"/webhooks/endpoints/{endpoint_id}", {"events": [f"{MARK}\0"]}),
            ("PATCH", f"/webhooks/endpoints/{endpoint_id}", {"site": f"{MARK}\0"}),
            ("PATCH", f"/webhooks/endpoints/{endpoint_id}", {"headers": {f"{MARK}\0": ""}}),
        ):
            answer = await api.call(method, path, body)
            assert (method, path, answer.status_code) == (method, path, 400)
            assert_harmless(answer)


async def test_a_recovery_from_before_there_were_computers_begins_in_1970(api):
    endpoint_id = (await api.add("http://127.0.0.1:9/"))["id"]
    for since in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"):
        path = f"/webhooks/endpoints/{endpoint_id}/recover"
        recovery = await api.ask("POST", path, {"since": since}, 202)
        assert recovery["since"] == "1970-01-01T00:00:00Z"


async def test_an_unheard_of_id_is_not_found_on_either_database(open_api, database_url):
    async with open_api(f'[database]\nurl = "{database_url}"\n') as api:
        for text in ("💊", "'; DROP TABLE destinations; --", "%", "dst_" * 500, "\ufffe"):
            answer = await api.call("GET", f"/webhooks/endpoints/{quote(text, safe='')}")
            assert answer.status_code == 404
