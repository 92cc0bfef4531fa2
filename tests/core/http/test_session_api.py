"""Signing in over HTTP: cookies, places, other sites' requests, and what a person may do."""

import pytest
from core.auth.door import COMMAND_LINE
from session_browser import PASSWORD, SessionBrowser

from gateway.auth.roles import ROLES
from gateway.clock import SteppingClock
from gateway.http.app import create_litestar
from gateway.http.auth import declared_routes

pytestmark = pytest.mark.pages

TOML = """
[plugins.json_api]
[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
"""
ORDER = {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St", "site": "main"}


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def running(harness, clock):
    async with harness(TOML, clock=clock) as opened:
        yield opened


@pytest.fixture
def new_browser(running, clock):
    return lambda: SessionBrowser(running, clock)


@pytest.fixture
async def owner(new_browser, clock):
    browser = new_browser()
    await browser.become_owner()
    clock.step(30)
    return browser


async def invited(owner, new_browser, role, sites=None, email="sam@x.example"):
    made = await owner.post(
        "/api/people/invitations", {"email": email, "role": role, "sites": sites}
    )
    assert made.status_code == 201, made.text
    browser = new_browser()
    await browser.accept(made.json()["link"])
    browser.clock.step(30)
    return browser


async def test_from_an_empty_gateway_to_a_pharmacist_of_one_site(owner, new_browser, running):
    sam = await invited(owner, new_browser, "pharmacist", ["north"])
    key = await running.issue_key()
    placed = await running.post("/api/webhook/orders", key, {"orders": [ORDER]})
    package = placed.json()["results"][0]["package_id"]

    shown = (await sam.get("/api/session")).json()
    at_other_site = await sam.get(f"/api/packages/{package}")
    own_list = await sam.get("/api/packages")

    assert (shown["name"], shown["role"], shown["sites"]) == ("Sam Lee", "pharmacist", ["north"])
    assert at_other_site.status_code == 404
    assert own_list.json()["packages"] == []
    assert (await owner.get(f"/api/packages/{package}")).status_code == 200


async def test_the_owner_signs_out_and_in_again_with_a_passkey(new_browser):
    browser = new_browser()
    await browser.become_owner(passkey=True)
    assert (await browser.get("/api/session")).json()["role"] == "owner"
    kept = dict(browser.cookies)

    assert (await browser.send("DELETE", "/api/session")).status_code == 204
    assert "session" not in browser.cookies
    assert (await browser.get("/api/session")).status_code == 401
    browser.cookies = kept
    assert (await browser.get("/api/session")).json()["code"] == "not_authenticated"
    browser.cookies = {}
    assert (await browser.sign_in_with_passkey()).status_code == 201
    assert (await browser.get("/api/session")).json()["role"] == "owner"


async def test_the_cookie_is_for_no_script_and_no_other_site(owner):
    answer = await owner.sign_in()
    session, device = answer.headers.get_list("set-cookie")

    assert session.startswith("session=")
    assert "HttpOnly" in session
    assert "SameSite=lax" in session
    assert "Max-Age" not in session
    assert device.startswith("device=")
    assert "HttpOnly" in device
    assert owner.cookies["session"] not in answer.text


async def test_recovery_codes_are_shown_once(new_browser, running):
    browser = new_browser()
    code = await running.gateway.identity.enrolment.new_owner_code()
    body = {"code": code, "name": "A", "email": "a@x.example"}
    made = await browser.enrol((await browser.post("/api/session/owner/begin", body)).json())

    assert len(made.json()["recovery_codes"]) == 10
    assert "recovery_codes" not in (await browser.get("/api/session")).json()


SESSION_ROUTES = [
    ("POST", "/api/session"),
    ("DELETE", "/api/session"),
    ("POST", "/api/session/passkey/begin"),
    ("POST", "/api/session/passkey"),
    ("POST", "/api/session/owner/begin"),
    ("POST", "/api/session/invitation/begin"),
    ("POST", "/api/session/enrol"),
    ("POST", "/api/session/lock"),
    ("POST", "/api/session/extend"),
    ("POST", "/api/session/factors/begin"),
    ("POST", "/api/people/invitations"),
    ("POST", "/api/webhook/orders"),
]
FOREIGN = [
    {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec_Fetch_Site": ""},
    {"Origin": "null", "Sec_Fetch_Site": ""},
    {"Origin": "", "Sec_Fetch_Site": ""},
    {"Origin": "", "Sec_Fetch_Site": "none"},
    {"Origin": "http://localhost:1", "Sec_Fetch_Site": "same-site"},
    {"Origin": "http://localhost.evil.example", "Sec_Fetch_Site": ""},
    {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), SESSION_ROUTES)
async def test_a_request_of_another_site_does_nothing(owner, method, path, headers):
    before = dict(owner.cookies)

    answer = await owner.send(method, path, {"orders": [ORDER]}, **headers)

    assert answer.status_code == 403, answer.text
    assert "another site" in answer.json()["error"]
    assert owner.cookies == before
    assert (await owner.get("/api/session")).status_code == 200


async def test_every_unsafe_route_about_sessions_and_people_refuses_other_sites(running):
    """A route that is new here is one of those that the test before this one tries, or like it."""
    for method, path, options in declared_routes(create_litestar(running.gateway)):
        is_personal = path.startswith(("/api/session", "/api/people", "/dashboard"))
        if is_personal and method in {"POST", "PATCH", "PUT", "DELETE"}:
            assert options.get("session"), f"{method} {path}"


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("192.168.1.20:{port}", "Run: gateway tls init 192.168.1.20"),
        ("gateway.lan:{port}", "Run: gateway tls init gateway.lan"),
        ("evil.example", "Run: gateway tls init evil.example"),
        ("127.0.0.1:{port}", "Use http://localhost:{port}"),
        ("[::1]:{port}", "Use http://localhost:{port}"),
        ("localhost.evil.example", "Run: gateway tls init"),
        ("localhost:99999999", "isn't one that the gateway knows"),
    ],
)
async def test_elsewhere_no_one_signs_in_and_the_answer_says_what_helps(owner, host, sentence):
    host = host.format(port=owner.port)

    answer = await owner.post("/api/session/passkey/begin", Host=host, Origin=f"http://{host}")

    assert answer.status_code == 403
    assert sentence.format(port=owner.port) in answer.json()["error"]
    shown = await owner.get("/api/session", Host=host)
    assert shown.status_code == 403


async def test_a_session_locks_and_the_same_person_finds_what_they_typed(owner, clock, running):
    person = (await owner.get("/api/session")).json()["person_id"]
    clock.step(15 * 60)
    typed = {"path": "/dashboard/me", "fields": {"name": "Amara O."}}

    assert (await owner.get("/api/session")).json()["code"] == "session_locked"
    assert (await owner.post("/api/session/lock", typed)).status_code == 204
    assert (await owner.sign_in()).status_code == 201

    store = running.gateway.identity.parts.store
    async with running.gateway.database.begin() as connection:
        taken = await store.take_draft(connection, person, "/dashboard/me", clock.now())
    assert taken == b'{"name":"Amara O."}'


async def test_more_than_can_be_kept_is_refused(owner):
    huge = {"path": "/dashboard/me", "fields": {"name": "x" * 70_000}}

    answer = await owner.post("/api/session/lock", huge)

    assert answer.status_code == 400
    assert "xxx" not in answer.text


async def test_looking_at_ones_session_is_no_activity_and_extending_is(owner, clock):
    for _ in range(10):
        clock.step(2 * 60)
        await owner.get("/api/session", X_Gateway_Quiet="1")
        if (await owner.get("/api/session")).status_code == 401:
            break
    else:
        pytest.fail("a quiet request kept the session alive")
    await owner.sign_in()
    for _ in range(10):
        clock.step(10 * 60)
        assert (await owner.post("/api/session/extend")).status_code == 204


async def test_managing_people_asks_for_a_fresh_factor(owner, clock):
    clock.step(6 * 60)
    body = {"email": "ana@x.example", "role": "manager"}
    refused = await owner.post("/api/people/invitations", body)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")

    proof = {"password": PASSWORD, "code": owner.code()}
    assert (await owner.post("/api/session/step-up", proof)).status_code == 204

    assert (await owner.post("/api/people/invitations", body)).status_code == 201


async def test_an_api_key_has_no_session_and_invites_no_one(running, owner):
    key = await running.issue_key()

    assert (await running.get("/api/session", key)).status_code == 403
    answer = await running.request(
        "POST", "/api/people/invitations", key, {"email": "a@x.example", "role": "owner"},
        {"Host": owner.host, "Origin": owner.origin},
    )  # fmt: skip
    assert answer.status_code in {401, 403}


async def test_the_mode_is_live_unless_the_header_says_test(owner, running):
    key = await running.issue_key(mode="test")
    await running.post("/api/webhook/orders", key, {"orders": [ORDER]})

    live = (await owner.get("/api/packages")).json()["packages"]
    test = (await owner.get("/api/packages", X_Gateway_Mode="test")).json()["packages"]
    wrong = await owner.get("/api/packages", X_Gateway_Mode="production")

    assert (len(live), len(test), wrong.status_code) == (0, 1, 400)


async def test_every_role_reaches_what_its_permissions_say_and_nothing_else(
    owner, new_browser, running
):
    """The matrix: each route without parameters, asked by a person of each role."""
    routes = [
        (path, options)
        for method, path, options in declared_routes(create_litestar(running.gateway))
        if method == "GET"
        and "{" not in path
        and options.get("permission")
        and path != "/dashboard/stream"  # it doesn't end; test_stream.py asks it
    ]
    assert len(routes) >= 30
    for role in ROLES:
        person = await invited(owner, new_browser, role, email=f"{role}@x.example")
        may = running.gateway.permissions.of_role(role) | {"any"}
        for path, opt in routes:
            named = opt["permission"]
            wanted = {named} if isinstance(named, str) else set(named)
            answer = await person.get(path)
            assert (answer.status_code != 403) == (wanted <= may), (role, path, answer.text)
        await owner.post("/api/session/step-up", {"password": PASSWORD, "code": owner.code()})
        owner.clock.step(30)


async def test_a_disabled_person_is_out_with_the_next_request(owner, new_browser, running):
    sam = await invited(owner, new_browser, "pharmacist")
    person = (await sam.get("/api/session")).json()["person_id"]
    assert (await sam.get("/api/packages")).status_code == 200

    await running.gateway.identity.people.disable(COMMAND_LINE, person)

    assert (await sam.get("/api/packages")).status_code == 401
    assert (await sam.sign_in("sam@x.example")).status_code == 401


async def test_people_are_listed_changed_and_their_sessions_ended(owner, new_browser):
    sam = await invited(owner, new_browser, "pharmacist", ["main"])
    person = (await sam.get("/api/session")).json()["person_id"]

    listed = (await owner.get("/api/people")).json()
    assert [each["role"] for each in listed["people"]] == ["owner", "pharmacist"]
    change = {"role": "dispatcher", "sites": ["main", "north"]}
    assert (await owner.send("PATCH", f"/api/people/{person}", change)).status_code == 204
    assert (await sam.get("/api/session")).json()["role"] == "dispatcher"
    assert (await owner.send("DELETE", f"/api/people/{person}/sessions")).status_code == 204
    assert (await sam.get("/api/session")).status_code == 401


async def test_a_person_has_read_limits_of_their_own(owner):
    answers = [(await owner.get("/api/packages")).status_code for _ in range(70)]

    assert set(answers) == {200}  # a key is limited to 60
