"""The pages Keys, People and First steps: the same services and rules as the API."""

import re

import pytest

from gateway.clock import SteppingClock

pytestmark = pytest.mark.pages

TOML = """
[[sites]]
code = "lakeside"
name = "Lakeside"
[[sites]]
code = "queen"
name = "Queen Street"
[plugins.json_api]
"""


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def running(harness, clock):
    async with harness(TOML, clock=clock) as opened:
        yield opened


@pytest.fixture
async def owner(running):
    return await running.sign_in()


async def keys_of(running):
    return {each.name: each for each in await running.gateway.keys.list("default")}


async def test_a_key_is_made_once_used_and_seen_in_the_list(running, owner):
    made = await owner.post(
        "/dashboard/keys/new", {"name": "Till 2", "preset": "orders", "days": "365"}
    )
    [key] = set(re.findall(r"sk_live_[0-9a-f]{48}", made.text))
    ordered = await running.post(
        "/api/webhook/orders", key,
        {"orders": [{"patient_name": "M", "patient_address": "1 Main St", "site": "queen",
                     "patient_phone": "+13055551234", "rx_number": "RX-1"}]},
    )  # fmt: skip
    shown = await owner.get("/dashboard/keys")

    assert made.status_code == 200
    assert "It is shown only now." in made.text
    assert "curl -X POST" in made.text
    assert ordered.status_code == 200
    assert "Till 2" in shown.text
    assert key not in shown.text
    assert key[:12] in shown.text
    assert (await keys_of(running))[
        "Till 2"
    ].scopes == "orders.create packages.read packages.update"


async def test_a_test_key_is_made_and_shown_among_test_data_alone(running, owner):
    made = await owner.post("/dashboard/test/keys/new", {"name": "Trial", "preset": "orders"})

    assert re.search(r"sk_test_[0-9a-f]{48}", made.text)
    assert "Trial" in (await owner.get("/dashboard/test/keys")).text
    assert "Trial" not in (await owner.get("/dashboard/keys")).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": " ", "preset": "orders"}, "The key needs a name."),
        ({"name": "K", "preset": "chosen"}, "The key may do nothing yet."),
        ({"name": "K", "preset": "orders", "days": "-1"}, "The key can&#39;t end then."),
        ({"name": "K", "preset": "orders", "for_site": "nowhere"}, "There is no such site."),
        ({"name": "K", "preset": "chosen", "scopes": "keys.manage"}, "No request can make a key"),
        ({"name": "K", "preset": "everything"}, "A scope is a permission or a preset"),
    ],
)
async def test_a_key_that_can_not_be_made_is_explained_and_the_form_keeps_what_was_typed(
    running, owner, given, said
):
    refused = await owner.post("/dashboard/keys/new", given)

    assert refused.status_code in {400, 403}
    assert said in refused.text
    assert f'value="{given["name"]}"' in refused.text
    assert await keys_of(running) == {}


async def test_an_integrator_gives_no_more_than_they_have(running):
    integrator = await running.sign_in("integrator", sites=["queen"])

    offered = await integrator.get("/dashboard/keys/new")
    given = {"name": "K", "preset": "orders", "for_site": "queen"}
    refused = await integrator.post("/dashboard/keys/new", given)
    elsewhere = {"name": "K", "preset": "webhooks", "for_site": "lakeside"}

    assert 'value="webhooks"' in offered.text
    assert 'value="orders"' not in offered.text
    assert 'value="lakeside"' not in offered.text
    assert refused.status_code == 403
    assert (await integrator.post("/dashboard/keys/new", elsewhere)).status_code == 403
    assert await keys_of(running) == {}


async def test_a_key_is_narrowed_and_revoked_by_its_name(running, owner):
    await owner.post("/dashboard/keys/new", {"name": "Till 2", "preset": "orders"})
    key_id = (await keys_of(running))["Till 2"].id

    asked = await owner.get(f"/dashboard/keys/{key_id}/narrow")
    narrowed = await owner.post(
        f"/dashboard/keys/{key_id}/narrow", {"scopes": ["", "orders.create"], "days": "30"}
    )
    wrong = await owner.post(f"/dashboard/keys/{key_id}/revoke", {"confirm": "till"})
    still = (await keys_of(running))["Till 2"]
    revoked = await owner.post(f"/dashboard/keys/{key_id}/revoke", {"confirm": " Till 2 "})

    assert "packages.read" in asked.text
    assert narrowed.status_code == 303
    assert still.scopes == "orders.create"
    assert still.expires_at is not None
    assert wrong.status_code == 409
    assert "The name is another one" in wrong.text
    assert revoked.status_code == 303
    assert (await keys_of(running))["Till 2"].revoked_at is not None


async def test_keys_of_others_are_not_there(running, owner):
    await owner.post("/dashboard/keys/new", {"name": "Lake", "preset": "orders"})
    key_id = (await keys_of(running))["Lake"].id
    manager = await running.sign_in("manager", sites=["queen"])

    assert "Lake<" not in (await manager.get("/dashboard/keys")).text
    assert (await manager.get(f"/dashboard/keys/{key_id}/narrow")).status_code == 404
    confirmed = {"confirm": "Lake"}
    answer = await manager.post(f"/dashboard/keys/{key_id}/revoke", confirmed)
    assert answer.status_code == 404


async def test_a_key_asks_for_a_fresh_factor(running, owner, clock):
    clock.step(6 * 60)

    asked = await owner.post("/dashboard/keys/new", {"name": "Till 2", "preset": "orders"})
    api = await owner.post("/api/keys", b'{"name": "Till 2"}', {"Content-Type": "application/json"})

    assert asked.headers["location"] == "/dashboard/confirm?next=/dashboard/keys/new"
    assert api.status_code == 403
    assert api.json()["code"] == "step_up_required"
    assert await keys_of(running) == {}
    assert 'value="Till 2"' in (await owner.get("/dashboard/keys/new")).text


async def test_a_key_narrows_keys_over_http_like_the_page(running):
    root = await running.issue_key()
    made = (await running.post("/api/keys", root, {"name": "Till"})).json()

    path = f"/api/keys/{made['id']}"
    narrowed = await running.request("PATCH", path, root, {"scopes": ["orders.create"]})
    wider = await running.request("PATCH", path, root, {"scopes": ["reveal.rx"]})
    nothing = await running.request("PATCH", path, root, {})
    nowhere = await running.request("PATCH", "/api/keys/none", root, {"expires_in_days": 1})

    assert narrowed.json()["scopes"] == ["orders.create"]
    assert (wider.status_code, nothing.status_code, nowhere.status_code) == (400, 400, 404)


async def test_a_person_is_invited_and_seen_by_the_link_alone(running, owner):
    made = await owner.post(
        "/dashboard/people/invite",
        {"email": "sam@x.example", "role": "pharmacist", "sites": ["", "queen"]},
    )
    [link] = set(re.findall(r"http://localhost:8080/dashboard/invitation#[\w-]+", made.text))
    shown = await owner.get("/dashboard/people")
    withdrawn = await owner.post("/dashboard/people/withdraw", {"email": "sam@x.example"})

    assert "It is shown only now." in made.text
    assert "sam@x.example" in shown.text
    assert "Pharmacist · Queen Street" in shown.text
    assert link not in shown.text
    assert withdrawn.status_code == 303
    assert "sam@x.example" not in (await owner.get("/dashboard/people")).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"email": "x", "role": "pharmacist", "sites": "*"}, "address"),
        ({"email": "a@b.example", "sites": "*"}, "The person needs a role."),
        ({"email": "a@b.example", "role": "king", "sites": "*"}, "The person needs a role."),
        ({"email": "a@b.example", "role": "manager"}, "The person needs a site."),
        ({"email": "a@b.example", "role": "manager", "sites": "nowhere"}, "There is no such site."),
    ],
)
async def test_an_invitation_that_can_not_be_made_is_explained(owner, given, said):
    refused = await owner.post("/dashboard/people/invite", given)

    assert refused.status_code == 400
    assert said in refused.text


async def test_a_person_is_changed_signed_out_and_disabled_by_name(running, owner):
    sam = await running.sign_in("dispatcher", name="Sam Lee")
    person = await person_id(running, "Sam Lee")
    address = f"/dashboard/people/{person}"

    changed = await owner.post(f"{address}/role", {"role": "pharmacist", "sites": ["", "*"]})
    assert changed.status_code == 303
    assert "pharmacist" in (await sam.get("/dashboard/me")).text
    assert (await owner.post(f"{address}/sessions")).status_code == 303
    assert "/dashboard/sign-in" in (await sam.get("/dashboard/me")).headers["location"]
    assert (await owner.post(f"{address}/disable", {"confirm": "sam"})).status_code == 409
    assert (await owner.post(f"{address}/disable", {"confirm": "Sam Lee"})).status_code == 303
    assert "Disabled" in (await owner.get("/dashboard/people")).text
    assert (await owner.post(f"{address}/enable")).status_code == 303
    linked = await owner.post(f"{address}/link")
    assert "/dashboard/invitation#" in linked.text


async def test_the_last_owner_stays_and_no_one_disables_themselves(running, owner):
    me = f"/dashboard/people/{await person_id(running, 'Amara Okafor')}"

    less = await owner.post(f"{me}/role", {"role": "manager", "sites": ["*"]})
    gone = await owner.post(f"{me}/disable", {"confirm": "Amara Okafor"})
    out = await owner.post(f"{me}/sessions")

    assert (less.status_code, gone.status_code, out.status_code) == (409, 403, 403)
    assert "This is the last owner" in less.text
    assert (await owner.get("/dashboard/people")).status_code == 200


async def test_a_manager_of_one_site_sees_and_gives_that_site_alone(running, owner):
    manager = await running.sign_in("manager", sites=["queen"], name="Mo")
    await running.sign_in("pharmacist", sites=["queen"], name="Pia")
    owners = await person_id(running, "Amara Okafor")

    shown = await manager.get("/dashboard/people")
    form = await manager.get("/dashboard/people/invite")

    assert "Pia" in shown.text
    assert "Amara Okafor" not in shown.text
    assert (await manager.get(f"/dashboard/people/{owners}")).status_code == 404
    assert 'value="owner"' not in form.text
    assert 'value="lakeside"' not in form.text


async def test_people_and_keys_are_for_those_who_may(running):
    for role, people, keys in (
        ("pharmacist", 403, 403), ("dispatcher", 403, 403), ("privacy_officer", 403, 403),
        ("integrator", 403, 200), ("manager", 200, 200),
    ):  # fmt: skip
        browser = await running.sign_in(role)
        got = [(await browser.get(f"/dashboard/{each}")).status_code for each in ("people", "keys")]
        assert got == [people, keys], role


async def test_the_first_steps_are_ticked_off_and_a_test_order_is_made(running, owner):
    before = await owner.get("/dashboard/first-steps")
    made = await owner.post("/dashboard/first-steps/order")
    await owner.post("/dashboard/keys/new", {"name": "Till", "preset": "orders"})
    after = await owner.get("/dashboard/first-steps")

    assert before.text.count("data-done") == 1
    assert made.headers["location"].startswith("/dashboard/test/packages/pkg_")
    assert after.text.count("data-done") == 3
    assert 'aria-current="step"' in after.text


async def person_id(running, name):
    members = await running.gateway.identity.people.members("default")
    return next(each.person.id for each in members if each.person.name == name)
