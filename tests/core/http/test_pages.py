"""The pages of signing in: their headers, redirects, forms and languages."""

import json
import re
from urllib.parse import urlencode

import pytest
from core.auth.door import secret_of
from session_browser import PASSWORD, SessionBrowser
from sqlalchemy import select

from gateway.auth.totp import code_at, step_of
from gateway.clock import SteppingClock
from gateway.dashboard.rendering import POLICY
from gateway.storage.schema import drafts

pytestmark = pytest.mark.pages

INLINE = re.compile(r"\sstyle=|\son\w+=|<style|<script(?! type=\"module\" src=)")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def running(harness, clock):
    async with harness("", clock=clock) as opened:
        yield opened


@pytest.fixture
def browser(running, clock):
    return SessionBrowser(running, clock)


@pytest.fixture
async def owner(browser, clock):
    await browser.become_owner()
    clock.step(30)
    return browser


async def send(browser, path, **fields):
    return await browser.post(path, urlencode(fields).encode(), Content_Type=FORM)


def field(page, name):
    return re.search(rf'name="{name}" value="([^"]*)"', page.text)[1]


async def test_without_script_the_owner_is_made_with_a_password_and_signs_in(
    browser, running, clock
):
    code = await running.gateway.identity.enrolment.new_owner_code()
    assert (await browser.get("/dashboard/sign-in")).headers["location"] == "/dashboard/welcome"

    set_up = await send(
        browser, "/dashboard/welcome", code=code, name="Amara Okafor", email="amara@x.example"
    )
    secret = secret_of(re.search(r"<code>([A-Z2-7 ]{32,})</code>", set_up.text)[1].replace(" ", ""))
    weak = await send(
        browser, "/dashboard/enrol", token=field(set_up, "token"), password="password1234",
        code=code_at(secret, step_of(clock.now())),
    )  # fmt: skip
    assert weak.status_code == 400
    assert "commonest" in weak.text
    assert "password1234" not in weak.text
    codes = await send(
        browser, "/dashboard/enrol", token=field(weak, "token"), password=PASSWORD,
        code=code_at(secret, step_of(clock.now())),
    )  # fmt: skip
    assert len(re.findall(r"<li>[0-9A-Z-]{19}</li>", codes.text)) == 10
    assert "Amara Okafor" in (await browser.get("/dashboard/me")).text

    assert (await send(browser, "/dashboard/sign-out")).status_code == 303
    assert (await browser.get("/dashboard/me")).status_code == 303
    clock.step(30)
    signed_in = await send(
        browser, "/dashboard/sign-in", email="amara@x.example", password=PASSWORD,
        code=code_at(secret, step_of(clock.now())), next="/dashboard/me",
    )  # fmt: skip
    assert signed_in.headers["location"] == "/dashboard/me"
    assert "Amara Okafor" in (await browser.get("/dashboard/me")).text


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/welcome",
        "/dashboard/invitation",
        "/dashboard/lock",
        "/dashboard/sign-in",
        "/dashboard/me",
        "/dashboard/static/dashboard.css",
    ],
)
async def test_every_answer_has_the_headers_and_no_page_has_inline_code(browser, path):
    answer = await browser.get(path)

    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    if answer.headers["content-type"].startswith("text/html"):
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(
            r"\sstyle=|\son\w+=|<style|<script(?! type=\"module\" src=)", answer.text
        )


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/dashboard",
        "/\\evil.example",
        "/dashboard/../..//evil.example",
        "/dashboard//evil.example",
        "/api/packages",
        "javascript:alert(1)",
        "/dashboard/me\r\nSet-Cookie: a=b",
        "/dashboard/" + "x" * 600,
        "http:/dashboard/me",
        "",
    ],
)
async def test_next_never_leads_elsewhere(owner, target):
    shown = await owner.get(f"/dashboard/sign-in?{urlencode({'next': target})}")
    assert field(shown, "next") == "/dashboard"

    answer = await send(
        owner, "/dashboard/sign-in", email="amara@x.example", password=PASSWORD,
        code=owner.code(), next=target,
    )  # fmt: skip

    assert answer.headers["location"] == "/dashboard"


async def test_next_is_a_path_of_the_dashboard(owner):
    await send(owner, "/dashboard/sign-out")
    sent = await owner.get("/dashboard/me")
    assert sent.headers["location"] == "/dashboard/sign-in?next=/dashboard/me"

    answer = await send(
        owner, "/dashboard/sign-in", email="amara@x.example", password=PASSWORD,
        code=owner.code(), next="/dashboard/me",
    )  # fmt: skip
    assert answer.headers["location"] == "/dashboard/me"


async def test_a_wrong_answer_shows_the_form_again_without_what_is_secret(owner):
    answer = await send(
        owner, "/dashboard/sign-in", email="<b>x@y.example", password="my secret pass",
        code="918273",
    )  # fmt: skip

    assert answer.status_code == 400
    assert "Email, password or code is wrong" in answer.text
    assert "&lt;b&gt;x@y.example" in answer.text
    assert "my secret pass" not in answer.text
    assert "918273" not in answer.text


async def test_a_locked_page_leads_to_the_lock_and_what_was_typed_comes_back(owner, clock):
    clock.step(15 * 60)
    away = await owner.get("/dashboard/me")
    assert away.headers["location"] == "/dashboard/lock?next=/dashboard/me"
    await owner.post("/api/session/lock", {"path": "/dashboard/me", "fields": {"name": "Typed"}})
    locked = await owner.get("/dashboard/lock?next=/dashboard/me")
    assert "Amara Okafor was away" in locked.text
    assert "Typed" not in locked.text

    await owner.sign_in()

    assert 'value="Typed"' in (await owner.get("/dashboard/me")).text
    assert 'value="Typed"' not in (await owner.get("/dashboard/me")).text


async def test_a_form_that_a_locked_session_sends_without_script_keeps_its_text(owner, clock):
    clock.step(16 * 60)
    referer = {"Referer": f"{owner.origin}/dashboard/me"}
    fields = {"name": "Typed before", "password": "never kept", "language": "en"}

    locked = await owner.post(
        "/dashboard/me", urlencode(fields).encode(), Content_Type=FORM, **referer
    )

    assert locked.headers["location"] == "/dashboard/lock?next=/dashboard/me"
    async with owner.harness.gateway.database.read() as connection:
        [row] = (await connection.execute(select(drafts))).all()
    kept = owner.harness.gateway.sealer.unseal(bytes(row.data), table="drafts", row_id=row.id)
    assert json.loads(kept) == {"name": "Typed before", "language": "en"}
    clock.step(30)
    await send(
        owner, "/dashboard/sign-in", email="amara@x.example", password=PASSWORD, code=owner.code()
    )
    assert "Typed before" in (await owner.get("/dashboard/me")).text


async def test_a_form_that_is_too_large_leads_a_locked_session_to_the_lock_as_well(owner, clock):
    clock.step(16 * 60)
    referer = {"Referer": f"{owner.origin}/dashboard/me"}
    body = urlencode({"name": "T" * 70_000}).encode()

    locked = await owner.post("/dashboard/me", body, Content_Type=FORM, **referer)

    assert locked.headers["location"] == "/dashboard/lock?next=/dashboard/me"
    async with owner.harness.gateway.database.read() as connection:
        assert (await connection.execute(select(drafts))).all() == []


async def test_what_was_typed_never_comes_to_another_person(owner, running, clock):
    made = await owner.post(
        "/api/people/invitations", {"email": "sam@x.example", "role": "pharmacist"}
    )
    sam = SessionBrowser(running, clock)
    await sam.accept(made.json()["link"])
    await owner.post("/api/session/lock", {"path": "/dashboard/me", "fields": {"name": "Typed"}})
    clock.step(30)
    owner.totp, own = sam.totp, owner.totp
    assert (await owner.sign_in("sam@x.example")).status_code == 201

    assert "Typed" not in (await owner.get("/dashboard/me")).text
    owner.totp = own
    await owner.sign_in()
    assert "Typed" in (await owner.get("/dashboard/me")).text


async def test_what_needs_a_fresh_factor_asks_for_one_and_goes_on(owner, clock):
    clock.step(6 * 60)
    asked = await owner.get("/dashboard/me/factors")
    assert asked.headers["location"] == "/dashboard/confirm?next=/dashboard/me/factors"

    wrong = await send(owner, "/dashboard/confirm", password="no such password", code="000000")
    assert wrong.status_code == 400
    done = await send(
        owner, "/dashboard/confirm", password=PASSWORD, code=owner.code(),
        next="/dashboard/me/factors",
    )  # fmt: skip
    assert done.headers["location"] == "/dashboard/me/factors"
    assert "How you sign in" in (await owner.get("/dashboard/me/factors")).text


async def test_a_form_of_another_site_does_nothing(owner):
    body = urlencode({"name": "Eve"}).encode()

    answer = await owner.post(
        "/dashboard/me", body, Content_Type=FORM, Origin="https://evil.example", Sec_Fetch_Site=""
    )

    assert answer.status_code == 403
    assert "another site" in answer.text
    assert "Amara Okafor" in (await owner.get("/dashboard/me")).text


async def test_another_address_leads_to_the_right_one_or_says_what_helps(owner):
    loopback = await owner.get("/dashboard/me", Host=f"127.0.0.1:{owner.port}")
    elsewhere = await owner.get("/dashboard/sign-in", Host=f"192.168.1.20:{owner.port}")

    assert loopback.status_code == 307
    assert loopback.headers["location"] == f"http://localhost:{owner.port}/dashboard/me"
    assert elsewhere.status_code == 403
    assert "gateway tls init 192.168.1.20" in elsewhere.text


async def test_pages_speak_the_readers_language(owner):
    french = await owner.get("/dashboard/sign-in", Accept_Language="fr-CA,en;q=0.5")
    spanish = await owner.get("/dashboard/sign-in", Accept_Language="es-419, en;q=0.8, fr;q=0.9")
    german = await owner.get("/dashboard/sign-in", Accept_Language="de")
    assert '<html lang="fr">' in french.text
    assert "Se connecter" in french.text
    assert '<html lang="es">' in spanish.text
    assert "Iniciar sesión" in spanish.text
    assert '<html lang="en">' in german.text

    await send(owner, "/dashboard/language", language="fr", next="/dashboard/sign-in")
    assert "Se connecter" in (await owner.get("/dashboard/sign-in")).text
    refused = await send(owner, "/dashboard/sign-in", email="a@b.example", password="x", code="1")
    assert "est faux" in refused.text
    await send(owner, "/dashboard/language", language="es", next="/dashboard/sign-in")
    assert "Iniciar sesión" in (await owner.get("/dashboard/sign-in")).text
    await send(owner, "/dashboard/me", name="Amara", language="es")
    assert "Dónde tiene sesión iniciada" in (await owner.get("/dashboard/me")).text
    await send(owner, "/dashboard/me", name="Amara", language="en")
    assert "Where you are signed in" in (await owner.get("/dashboard/me")).text


async def test_a_huge_or_malformed_form_is_refused(owner):
    assert (await send(owner, "/dashboard/me", name="x" * 70_000)).status_code == 413
    many = "&".join(f"f{n}=1" for n in range(100)).encode()
    assert (await owner.post("/dashboard/me", many, Content_Type=FORM)).status_code == 400
    assert (await owner.post("/dashboard/sign-in", {"email": "x"})).status_code == 400


async def test_the_dashboard_can_be_left_out(harness):
    async with harness("[dashboard]\nenabled = false\n") as opened:
        browser = SessionBrowser(opened, SteppingClock())

        assert (await browser.get("/dashboard/welcome")).status_code == 404
        assert (await browser.get("/dashboard/static/session.js")).status_code == 404
