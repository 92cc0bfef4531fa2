"""The page on which a person chooses what an endpoint gets, without a script."""

import html
import re

import pytest

from gateway.testing import Receiver

pytestmark = pytest.mark.pages


@pytest.fixture
async def receiver():
    async with Receiver() as running:
        yield running


def words_of(answer):
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def preview_of(answer):
    return html.unescape(re.search(r'id="preview-body">(.*?)</pre>', answer.text, re.DOTALL)[1])


async def test_nothing_to_look_at_yet_says_how_to_get_it(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.northline.example/x")
        page = await (await api.harness.sign_in()).get(f"/dashboard/endpoints/{added['id']}/data")

    assert page.status_code == 200
    assert "No event yet" in words_of(page)


async def test_an_amount_is_previewed_with_its_cents_as_it_is_sent(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.northline.example/x", events=["package.created"])
        await api.order(copay_amount=12.50)
        page = await (await api.harness.sign_in()).get(f"/dashboard/endpoints/{added['id']}/data")

    assert page.status_code == 200
    assert '"copay_amount": 12.5' in preview_of(page)


async def test_what_is_chosen_is_previewed_then_saved_then_sent(open_api, receiver):
    async with open_api() as api:
        added = await api.add(receiver.url, format="standard", events=["package.created"])
        path = f"/dashboard/endpoints/{added['id']}/data"
        await api.order(priority="stat", external_order_id="A-1", metadata={"clinic": "A-12"})
        await receiver.wait_for(1)
        browser = await api.harness.sign_in()
        fields = {
            "field": ["priority", "", "metadata.clinic"],
            "how": ["one_of", "equal", "prefix"],
            "value": ["urgent, stat", "", "A-"],
            "learn": "some",
            "send": ["package_id", "external_order_id"],
            "old": ["external_order_id", ""],
            "new": ["number", ""],
            "exclusive": "yes",
        }
        tried = await browser.post(f"{path}/preview", fields)
        unchanged = await api.show(added["id"])
        saved = await browser.post(path, fields)
        changed = await api.show(added["id"])
        again = await browser.get(path)
        shown = await browser.get(f"/dashboard/endpoints/{added['id']}")
        await api.order(priority="routine", metadata={"clinic": "A-12"})
        await api.order(priority="stat", external_order_id="A-2", metadata={"clinic": "A-1"})
        _, last = await receiver.wait_for(2)

    assert "It would be sent, like this" in words_of(tried)
    assert '"number": "A-1"' in preview_of(tried)
    assert "priority" not in preview_of(tried)
    assert "filter_fields" not in unchanged
    assert saved.status_code == 303
    assert (changed["filter_fields"], changed["exclusive"]) == (
        {"priority": {"one_of": ["urgent", "stat"]}, "metadata.clinic": {"prefix": "A-"}},
        True,
    )
    assert (changed["send_fields"], changed["rename_fields"]) == (
        ["package_id", "external_order_id"],
        {"external_order_id": "number"},
    )
    assert 'value="urgent, stat"' in again.text
    assert 'value="metadata.clinic" selected' in again.text
    for each in ("priority is one of urgent, stat", "No other endpoint gets them", "→ number"):
        assert each in words_of(shown)
    assert last.json()["data"] == {"package_id": last.json()["data"]["package_id"], "number": "A-2"}


async def test_a_button_leaves_out_names_and_another_all_that_is_a_patients(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.northline.example/x", events=["package.created"])
        path = f"/dashboard/endpoints/{added['id']}/data/preview"
        await api.order(rx_number="RX-1", priority="stat", external_patient_id="P-77")
        browser = await api.harness.sign_in()
        whole = await browser.post(path, {"learn": "all"})
        nameless = await browser.post(path, {"learn": "all", "choose": "no_names"})
        plain = await browser.post(path, {"learn": "all", "choose": "plain"})
        kept_back = await browser.post(path, {"learn": "all", "choose": "controlled"})

    assert '"external_patient_id"' in preview_of(whole)
    for each in ("external_patient_id", "external_order_id"):
        assert f'"{each}"' not in preview_of(nameless), "it may name a patient"
    assert '"rx_number"' in preview_of(nameless)
    assert '"rx_number"' not in preview_of(plain)
    assert '"package_id"' in preview_of(plain)
    assert "Not sent: controlled does not fit" in words_of(kept_back)
    assert "Of its newest 1 events 0 fit" in words_of(kept_back)


FAULTS = [
    ({"field": "priority", "how": "equal", "value": ""}, "a condition has no value"),
    (
        {"field": ["priority"] * 2, "how": ["equal"] * 2, "value": ["stat", "urgent"]},
        "two conditions name one field",
    ),
    ({"field": "a b", "how": "equal", "value": "x"}, "without spaces"),
    ({"old": ["priority"] * 2, "new": ["a", "b"]}, "a field can have one other name"),
    ({"old": "priority", "new": ""}, "the other name of a field is missing"),
    ({"field": "priority", "how": "one_of", "value": " , "}, "give one of equal, prefix"),
    ({"old": ["priority", "status"], "new": ["x", "x"]}, "two fields would have one name"),
]


async def test_a_fault_is_said_and_what_was_typed_stays(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.northline.example/x", events=["package.created"])
        path = f"/dashboard/endpoints/{added['id']}/data"
        browser = await api.harness.sign_in()
        answers = []
        for fields, sentence in FAULTS:
            typed = {"learn": "some", "send": ["status"], **fields}
            answers += [
                (await browser.post(path, typed), sentence),
                (await browser.post(f"{path}/preview", typed), sentence),
            ]
        after = await api.show(added["id"])

    for answer, sentence in answers:
        assert answer.status_code == 400
        assert sentence in words_of(answer)
        assert 'name="send" value="status" checked' in answer.text
    assert not {"filter_fields", "send_fields", "rename_fields"} & set(after)


async def test_a_person_who_may_not_change_endpoints_can_not_open_it(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.northline.example/x")
        path = f"/dashboard/endpoints/{added['id']}"
        reader = await api.harness.sign_in("dispatcher")
        opened = [await reader.get(path + each) for each in ("", "/data")]
        sent = await reader.post(f"{path}/data", {"learn": "all"})

    assert [each.status_code for each in opened] == [403, 403]
    assert sent.status_code == 403


async def test_a_key_pairs_public_key_is_shown_and_its_private_key_never(open_api, receiver):
    async with open_api() as api:
        browser = await api.harness.sign_in()
        fields = {"url": receiver.url, "format": "standard", "signature": "v1a", "which": "all"}
        refused = await browser.post("/dashboard/endpoints/new", fields | {"format": "autorx"})
        made = await browser.post("/dashboard/endpoints/new", fields)
        [endpoint] = (await api.ask("GET", "/webhooks/endpoints"))["endpoints"]
        path = f"/dashboard/endpoints/{endpoint['id']}"
        rotated = await browser.post(f"{path}/rotate", {"overlap": "24"})
        after = await api.show(endpoint["id"])
        page = await browser.get(path)
        await browser.post(f"{path}/rotate/finish")
        ended = await browser.get(path)

    assert "v1a is a signature of the standard format" in words_of(refused)
    assert endpoint["public_key"] in made.text
    assert after["next_public_key"] in rotated.text
    for each in (endpoint["public_key"], after["next_public_key"]):
        assert each in html.unescape(page.text)
    assert "A rotation is running" in words_of(page)
    assert after["next_public_key"] in html.unescape(ended.text)
    assert endpoint["public_key"] not in html.unescape(ended.text)
    for each in (made, rotated, page, ended):
        assert "whsk_" not in each.text
