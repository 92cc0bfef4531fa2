"""Signing in with a company's account: a strict provider over real HTTP, and attacks on the way."""

from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey
from oidc_provider import CALLBACK, CLIENT_ID, CLIENT_SECRET, OidcProvider, shared_secret
from session_browser import SessionBrowser

from gateway.cli.check import run_checks
from gateway.clock import SteppingClock

pytestmark = pytest.mark.pages

TOML = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.1"]
[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
[people.oidc]
issuer = "{issuer}"
client_id = "{client_id}"
client_secret = "{secret}"
name = "Lakeside Group"
roles_claim = "realm_access.roles"
sites_claim = "stores"
roles = {{ "Rx Managers" = "manager", pharmacists = "pharmacist", drivers = "dispatcher" }}
{more}
"""
PHARMACIST = {"realm_access": {"roles": ["staff", "pharmacists"]}, "stores": ["north", "x"]}


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def provider(clock):
    async with OidcProvider(clock).serving() as serving:
        serving.person |= PHARMACIST
        yield serving


def toml(provider, more=""):
    return TOML.format(issuer=provider.issuer, client_id=CLIENT_ID, secret=CLIENT_SECRET, more=more)


@pytest.fixture
async def running(harness, clock, provider):
    async with harness(toml(provider), clock=clock) as opened:
        port = opened.url.rpartition(":")[2]
        provider.redirect_uris.add(f"http://localhost:{port}{CALLBACK}")
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


async def leave(browser, query="?next=/dashboard/me"):
    """Go to the provider and come back with its answer: the path of the callback."""
    gone = await browser.get(f"/dashboard/oidc{query}")
    assert gone.status_code == 303, gone.text
    async with httpx.AsyncClient() as client:
        back = await client.get(gone.headers["location"])
    assert back.status_code == 303, back.text
    return back.headers["location"].partition(browser.host)[2]


async def sign_in(browser, **headers):
    return await browser.get(await leave(browser), **headers)


async def shown(browser):
    return (await browser.get("/api/session")).json()


def changed(path, **changes):
    """Return a callback with other values; ``None`` takes one out."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    query = {name: value for name, value in (query | changes).items() if value is not None}
    return f"{CALLBACK}?{urlencode(query)}"


async def test_a_person_signs_in_with_role_and_sites_from_claims(owner, new_browser):
    browser = new_browser()
    page = await browser.get("/dashboard/sign-in")
    assert 'href="/dashboard/oidc?next=/dashboard">Sign in with Lakeside Group</a>' in page.text

    arrived = await sign_in(browser)

    assert (arrived.status_code, arrived.headers["location"]) == (303, "/dashboard/me")
    assert "oidc" not in browser.cookies
    session = await shown(browser)
    assert (session["name"], session["role"], session["sites"]) == (
        "Sam Lee",
        "pharmacist",
        ["north"],
    )
    people = (await owner.get("/api/people")).json()["people"]
    assert [(each["email"], each["factors"]) for each in people if each["name"] == "Sam Lee"] == [
        ("sam@x.example", ["oidc"])
    ]


async def test_over_json_the_token_goes_back_with_the_answer(owner, new_browser, provider):
    browser = new_browser()
    provider.redirect_uris.add(f"{browser.origin}/my/app")
    begun = (await browser.post("/api/session/oidc/begin", {"callback": "/my/app"})).json()
    async with httpx.AsyncClient() as client:
        back = await client.get(begun["location"])
    query = parse_qs(urlsplit(back.headers["location"]).query)
    given = {name: query[name][0] for name in ("code", "state", "iss")}

    made = await browser.post("/api/session/oidc", {"token": begun["token"], **given})

    assert made.status_code == 201, made.text
    assert (await shown(browser))["role"] == "pharmacist"
    again = await new_browser().post("/api/session/oidc", {"token": begun["token"], **given})
    assert again.status_code == 401


async def test_an_address_takes_no_one_over(owner, new_browser, provider):
    invited = await owner.post(
        "/api/people/invitations", {"email": "sam@x.example", "role": "manager"}
    )
    sam = new_browser()
    await sam.accept(invited.json()["link"])
    for email in ("amara@x.example", "sam@x.example"):
        provider.person |= {"sub": f"thief of {email}", "email": email, "email_verified": True}
        thief = new_browser()
        await sign_in(thief)

        assert (await shown(thief))["person_id"] not in {
            (await shown(owner))["person_id"],
            (await shown(sam))["person_id"],
        }
        assert (await shown(thief))["role"] == "pharmacist"
    assert len((await owner.get("/api/people")).json()["people"]) == 4


async def test_the_same_subject_is_the_same_person_under_another_address(
    owner, new_browser, provider
):
    first, second = new_browser(), new_browser()
    await sign_in(first)
    provider.person |= {"email": "sam.lee@x.example"}
    await sign_in(second)

    assert (await shown(first))["person_id"] == (await shown(second))["person_id"]


WITHOUT_PLACE = [
    ({"realm_access": {"roles": ["staff"]}}, "no role here"),
    ({"realm_access": {"roles": "pharmacist"}}, "no role here"),
    ({"realm_access": ["pharmacists"]}, "no role here"),
    ({"stores": ["elsewhere"]}, "no site here"),
    ({"stores": None}, "no site here"),
]


async def test_without_a_role_or_site_here_no_one_gets_in(owner, new_browser, provider):
    for claims, sentence in WITHOUT_PLACE:
        provider.person = {"sub": "u-1"} | PHARMACIST | claims
        browser = new_browser()

        refused = await sign_in(browser)

        assert refused.status_code == 400, claims
        assert sentence in refused.text, claims
        assert "session" not in browser.cookies, claims
    assert len((await owner.get("/api/people")).json()["people"]) == 1


async def test_claims_decide_anew_at_each_sign_in_and_end_what_they_gave(
    owner, new_browser, provider
):
    browser = new_browser()
    await sign_in(browser)
    provider.person |= {"realm_access": {"roles": ["pharmacists", "Rx Managers"]}, "stores": "*"}
    await sign_in(new_browser())
    session = await shown(browser)
    assert (session["role"], session["sites"]) == ("manager", None)

    provider.person |= {"realm_access": {"roles": []}}
    await sign_in(new_browser())

    assert (await browser.get("/api/session")).status_code == 401
    assert len((await owner.get("/api/people")).json()["people"]) == 1


async def test_an_owner_is_made_by_hand_and_stays_one(owner, new_browser, provider):
    browser = new_browser()
    await sign_in(browser)
    person = (await shown(browser))["person_id"]
    assert (await owner.send("PATCH", f"/api/people/{person}", {"role": "owner"})).is_success
    provider.person |= {"realm_access": {"roles": ["drivers"]}}

    await sign_in(browser)

    assert (await shown(browser))["role"] == "owner"


async def test_a_disabled_person_stays_out(owner, new_browser):
    browser = new_browser()
    await sign_in(browser)
    person = (await shown(browser))["person_id"]
    await owner.send("PATCH", f"/api/people/{person}", {"disabled": True})

    assert (await browser.get("/api/session")).status_code == 401
    refused = await sign_in(browser)

    assert "disabled here" in refused.text
    assert (await browser.get("/api/session")).status_code == 401


async def test_before_there_is_an_owner_no_claim_lets_anyone_in(new_browser):
    browser = new_browser()

    refused = await sign_in(browser)

    assert "no owner yet" in refused.text
    await browser.become_owner()
    assert (await shown(browser))["role"] == "owner"


async def test_an_answer_of_another_provider_is_refused_and_its_code_not_sent(
    owner, new_browser, provider
):
    """Mix-up: a stranger's provider had the person sign in at ours, or ours at the stranger's."""
    for issuer in ("https://evil.example", None):
        browser = new_browser()
        path = await leave(browser)

        refused = await browser.get(changed(path, iss=issuer))

        assert refused.status_code == 400, issuer
        assert "/realm/token" not in provider.requests
        assert "session" not in browser.cookies


async def test_a_provider_that_doesnt_name_itself_in_answers_is_fine(owner, new_browser, provider):
    provider.names_itself = False
    browser = new_browser()

    assert (await sign_in(browser)).status_code == 303
    assert (await shown(browser))["role"] == "pharmacist"


async def test_an_answer_opens_nothing_in_another_browser(owner, new_browser, provider):
    """Fixation: a stranger sends a person the answer to the stranger's own sign-in."""
    stranger, victim = new_browser(), new_browser()
    path = await leave(stranger)

    without = await victim.get(path)
    await victim.get("/dashboard/oidc")
    with_another = await victim.get(path)

    assert (without.status_code, with_another.status_code) == (400, 400)
    assert "session" not in victim.cookies
    assert "/realm/token" not in provider.requests


async def test_an_answer_is_good_once(owner, new_browser, provider):
    browser = new_browser()
    path = await leave(browser)
    kept = dict(browser.cookies)
    assert (await browser.get(path)).status_code == 303
    browser.cookies = kept

    again = await browser.get(path)

    assert again.status_code == 400
    assert provider.requests.count("/realm/token") == 1


async def test_a_stolen_code_is_worth_nothing_in_the_strangers_own_sign_in(
    owner, new_browser, provider
):
    """The verifier of PKCE and the nonce belong to the sign-in that the code is from."""
    victim, stranger = new_browser(), new_browser()
    stolen = parse_qs(urlsplit(await leave(victim)).query)["code"][0]

    refused = await stranger.get(changed(await leave(stranger), code=stolen))

    assert refused.status_code == 400
    assert "session" not in stranger.cookies


WRONG_CLAIMS = [
    {"iss": "https://evil.example"},
    {"aud": "another client"},
    {"aud": [CLIENT_ID, "another client"]},
    {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
    {"aud": CLIENT_ID, "azp": "another client"},
    {"aud": []},
    {"exp": 1},
    {"exp": None},
    {"exp": float("nan")},
    {"exp": "never"},
    {"iat": 4_000_000_000},
    {"nonce": "of another sign-in"},
    {"nonce": None},
    {"sub": None},
    {"sub": ""},
    {"sub": "x" * 300},
    {"sub": "a\x00b"},
]


async def test_a_token_with_a_wrong_claim_is_refused(owner, new_browser, provider, clock):
    for lies in WRONG_CLAIMS:
        provider.lies = lies
        browser = new_browser()
        clock.step(61)  # no pause after so many

        refused = await sign_in(browser)

        assert refused.status_code == 400, lies
        assert "an answer that can&#39;t be used" in refused.text, lies
        assert "session" not in browser.cookies, lies


WRONG_KEYS = {
    "unsigned": ({"alg": "none"}, None),
    "with the shared secret": ({"alg": "HS256"}, shared_secret()),
    "with a foreign key": ({}, ECKey.generate_key("P-256")),
    "with an unknown key id": ({"kid": "unknown"}, None),
}


async def test_a_token_of_a_wrong_key_is_refused(owner, new_browser, provider, clock):
    for name, (header, key) in WRONG_KEYS.items():
        provider.header, provider.signs_with = header, key
        browser = new_browser()
        clock.step(61)

        refused = await sign_in(browser)

        assert refused.status_code == 400, name
        assert "session" not in browser.cookies, name


async def test_a_new_key_of_the_provider_is_found_and_strangers_dont_have_it_asked(
    owner, new_browser, provider, clock
):
    await sign_in(new_browser())
    provider.rotate()
    assert (await sign_in(new_browser())).status_code == 400  # read a moment ago
    assert provider.requests.count("/realm/keys") == 1
    clock.step(61)

    browser = new_browser()

    assert (await sign_in(browser)).status_code == 303
    assert provider.requests.count("/realm/keys") == 2


async def test_a_locked_session_opens_when_the_provider_asks_for_the_person_again(
    owner, new_browser, provider
):
    browser = new_browser()
    await sign_in(browser)
    await browser.post("/api/session/lock", {"path": "/dashboard/me", "fields": {"name": "Typed"}})
    provider.answers_silently = True  # its own session is still open
    refused = await sign_in(browser)
    assert "didn&#39;t ask for you again" in refused.text
    assert (await browser.get("/api/session")).status_code == 401

    provider.answers_silently = False
    assert (await sign_in(browser)).status_code == 303

    assert provider.asked == 1
    assert "Typed" in (await browser.get("/dashboard/me")).text


async def test_what_needs_a_fresh_factor_asks_the_provider(owner, new_browser, provider):
    provider.person |= {"realm_access": {"roles": ["Rx Managers"]}, "stores": ["*"]}
    browser = new_browser()
    await sign_in(browser)  # silently: no factor was shown
    invitation = {"email": "new@x.example", "role": "dispatcher"}
    refused = await browser.post("/api/people/invitations", invitation)
    assert refused.json()["code"] == "step_up_required"
    confirm = await browser.get("/dashboard/confirm?next=/dashboard/me")
    assert 'href="/dashboard/oidc?confirm=1&amp;next=/dashboard/me"' in confirm.text
    assert "password" not in confirm.text

    provider.person |= {"sub": "a colleague"}
    other = await browser.get(await leave(browser, "?confirm=1"))
    assert other.status_code == 400
    assert (await shown(browser))["is_fresh"] is False

    provider.person |= {"sub": "u-1"}
    assert (await browser.get(await leave(browser, "?confirm=1"))).status_code == 303
    assert (await browser.post("/api/people/invitations", invitation)).status_code == 201


async def test_another_site_begins_no_sign_in(owner, new_browser, provider):
    answer = await new_browser().get("/dashboard/oidc", Sec_Fetch_Site="cross-site")

    assert answer.headers["location"] == "/dashboard/sign-in"


async def test_next_stays_at_home(owner, new_browser):
    browser = new_browser()
    path = await leave(browser, "?next=https://evil.example/dashboard/")

    assert (await browser.get(path)).headers["location"] == "/dashboard"


async def test_made_up_answers_reach_the_provider_so_often_only(owner, new_browser, provider):
    browser = new_browser()
    for number in range(40):
        path = await leave(browser)
        refused = await browser.get(changed(path, code=f"made up {number}"))
        assert refused.status_code == 400

    assert provider.requests.count("/realm/token") <= 30


async def test_a_provider_that_is_away_or_lies_about_itself_is_said(
    owner, new_browser, provider, clock
):
    browser = new_browser()
    provider.document = {"issuer": "https://evil.example"}
    for _ in range(5):
        refused = await browser.get("/dashboard/oidc")
        assert refused.status_code == 400
        assert "its log says why" in refused.text
    assert len(provider.requests) == 1
    provider.document = {}
    clock.step(6)

    assert (await sign_in(browser)).status_code == 303


async def test_gateway_check_asks_the_provider(provider, tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(toml(provider), encoding="utf-8")
    fine = await run_checks(config, every_page=True)
    provider.document = {"issuer": "https://evil.example"}
    faulty = await run_checks(config, every_page=True)

    assert {
        "name": "company's sign-in",
        "ok": True,
        "detail": "the provider answers",
    } in fine.checks
    [problem] = faulty.by_check["company's sign-in"]
    assert problem.field == "[people.oidc] issuer"
    assert problem.message == "its discovery document names another issuer"


async def test_a_plan_of_three_people_has_no_room_for_a_fourth(harness, provider, clock):
    more = '[plans.basic]\npeople = 3\n[accounts.default]\nplan = "basic"\n'
    async with harness(toml(provider, more), clock=clock) as opened:
        port = opened.url.rpartition(":")[2]
        provider.redirect_uris.add(f"http://localhost:{port}{CALLBACK}")
        owner, sam, kim = (SessionBrowser(opened, clock) for _ in range(3))
        await owner.become_owner()
        made = await owner.post(
            "/api/people/invitations", {"email": "new@x.example", "role": "manager"}
        )
        assert made.status_code == 201
        assert (await sign_in(sam)).status_code == 303
        provider.person |= {"sub": "u-2"}

        refused = await sign_in(kim)

        assert "people is used up" in refused.text
        again = await owner.post(
            "/api/people/invitations", {"email": "more@x.example", "role": "manager"}
        )
        assert (again.status_code, again.json()["code"]) == (402, "plan_limit_reached")
        key = await opened.issue_key()
        limits = (await opened.get("/api/plan", key)).json()["limits"]
        assert [(each["limit_name"], each["used"]) for each in limits] == [("people", 3)]


async def test_without_a_provider_there_is_no_button_and_no_page(harness, clock):
    async with harness("", clock=clock) as opened:
        browser = SessionBrowser(opened, clock)
        await browser.become_owner()

        assert "/dashboard/oidc" not in (await browser.get("/dashboard/sign-in")).text
        assert (await browser.get("/dashboard/oidc")).status_code == 404
        assert (await browser.post("/api/session/oidc/begin")).status_code == 404
