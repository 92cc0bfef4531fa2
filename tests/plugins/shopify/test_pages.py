"""The page Shops: how each shop is, why an order is held, what its release makes, live."""

import html
import re

import pytest
from shopify_orders import SHOP, address, order, without_protected_data
from sqlalchemy import text

pytestmark = pytest.mark.pages

PATH = "/dashboard/shops"
ADDED = {
    "patient_name": "Avery Stone",
    "patient_address": "9 Elm St, Ottawa, ON K1A 0B1, Canada",
    "patient_phone": "+1 613-555-0199",
}


def words_of(answer):
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def seen_of(answer):
    """Return what the form of a release says it was shown."""
    return re.search(r'name="seen" value="([0-9a-f]+)"', answer.text)[1]


@pytest.fixture
async def held(shopify):
    """Return the path of a held order, whose shop left out who it is for."""
    await shopify.deliver("orders/create", without_protected_data())
    [found] = await shopify.listed()
    return f"{PATH}/orders/{found['id']}"


async def topics(shopify):
    async with shopify.gateway.database.read() as connection:
        rows = await connection.execute(text("SELECT topic FROM changes"))
        return {row.topic for row in rows}


async def test_without_a_shop_the_page_says_what_one_is_for(harness):
    async with harness("[plugins.shopify]\n") as running:
        page = await (await running.sign_in()).get(PATH)

    assert page.status_code == 200
    assert "No shop yet" in words_of(page)


async def test_a_shop_says_how_it_is_and_what_came_last(shopify, held):
    before = words_of(await (await shopify.harness.sign_in()).get(PATH))

    assert held
    assert f"{SHOP} Lakeside Pharmacy Can't be called" in before
    assert "Set client_id in gateway.toml" in before
    assert "Need a person 1" in before
    assert "Fetched every 15 min beside the webhooks" in before


async def test_held_messages_leaves_the_orders_of_shops_to_shops(shopify, held):
    owner = await shopify.harness.sign_in()
    everything = await owner.get("/dashboard/inbox")
    asked_for = await owner.get("/dashboard/inbox?plugin=shopify")

    assert held
    assert "What is held for shopify is on the page Shops." in words_of(everything)
    assert f'href="{PATH}"' in everything.text
    assert ("Handle again" in everything.text, "Handle again" in asked_for.text) == (False, True)


async def test_a_held_order_says_why_in_words_and_in_the_readers_language(shopify, held):
    english = words_of(await (await shopify.harness.sign_in()).get(PATH))
    french = words_of(await (await shopify.harness.sign_in(language="fr")).get(held))
    spanish = words_of(await (await shopify.harness.sign_in(language="es")).get(held))

    assert "Held: no package Shopify left out the customer's name" in english
    assert "Shopify a omis le nom," in french
    assert "Shopify omitió el nombre, la dirección y el teléfono del cliente" in spanish


async def test_what_is_made_is_shown_masked_first_and_then_made(shopify, held):
    pharmacist = await shopify.harness.sign_in("pharmacist")
    before = await pharmacist.get(held)
    shown = await pharmacist.post(f"{held}/preview", ADDED)
    none_made = await shopify.packages()
    done = await pharmacist.post(f"{held}/release", {**ADDED, "seen": seen_of(shown)})
    package = await shopify.package()
    empty = words_of(await pharmacist.get(PATH))

    assert "It can be released once what is missing is there." in words_of(before)
    assert "One package, for delivery Name Avery S. Address Elm St, Ottawa" in words_of(shown)
    assert none_made == []
    assert done.status_code == 303
    assert done.headers["location"] == f"/dashboard/packages/{package.id}"
    assert package.order.patient_name == "Avery Stone"
    assert package.order.patient_phone == "+16135550199"
    assert "No order needs a person" in empty


async def test_an_order_that_changed_since_it_was_shown_is_shown_again_and_not_made(shopify):
    await shopify.deliver("orders/create", order(fulfillment_status="on_hold"))
    [found] = await shopify.listed()
    path = f"{PATH}/orders/{found['id']}"
    owner = await shopify.harness.sign_in()
    seen = seen_of(await owner.get(path))
    moved = {"shipping_address": address(address1="77 Other St"), "fulfillment_status": "on_hold"}
    await shopify.deliver("orders/updated", order(updated_at="2026-11-20T10:05:00-05:00", **moved))
    answer = await owner.post(f"{path}/release", {"seen": seen})
    again = await owner.post(f"{path}/release", {"seen": seen_of(answer)})

    assert answer.status_code == 200
    assert "It would be another package than the one shown before." in words_of(answer)
    assert again.status_code == 303
    assert "77 Other St" in (await shopify.package()).order.patient_address


async def test_the_patient_is_masked_until_revealed_which_is_audited(shopify):
    await shopify.deliver("orders/create", order(fulfillment_status="on_hold"))
    [found] = await shopify.listed()
    path = f"{PATH}/orders/{found['id']}"
    pharmacist = await shopify.harness.sign_in("pharmacist")
    listed, page = await pharmacist.get(PATH), await pharmacist.get(path)
    revealed = await pharmacist.post(f"{path}/reveal")
    integrator = await shopify.harness.sign_in("integrator")
    refused = await integrator.post(f"{path}/reveal")
    async with shopify.gateway.database.read() as connection:
        query = text("SELECT count(*) FROM audit WHERE action = 'shopify.revealed'")
        audited = (await connection.execute(query)).scalar()

    for each in (listed, page):
        assert "Rodriguez" not in each.text
        assert "123 Main" not in each.text
        assert "555-0134" not in each.text
    assert "Maria Rodriguez" in revealed.text
    assert "#1001" in revealed.text
    assert refused.status_code == 403
    assert audited == 1


async def test_an_order_that_is_set_aside_needs_nobody_until_the_shop_changes_it(shopify, held):
    owner = await shopify.harness.sign_in()
    done = await owner.post(f"{held}/dismiss")
    twice = await owner.post(f"{held}/dismiss")
    person = words_of(await owner.get(PATH))
    aside = words_of(await owner.get(f"{PATH}?view=aside"))
    same = without_protected_data(updated_at="2026-11-20T10:10:00-05:00")
    await shopify.deliver("orders/updated", same)
    kept = words_of(await owner.get(PATH))
    addressed = order(updated_at="2026-11-20T10:20:00-05:00", fulfillment_status="on_hold")
    await shopify.deliver("orders/updated", addressed)
    held_again = words_of(await owner.get(PATH))

    assert (done.status_code, twice.status_code) == (303, 409)
    assert "No order needs a person" in person
    assert "No package needed A person set it aside" in aside.replace("a person", "A person")
    assert "No order needs a person" in kept
    assert "on hold in Shopify" in held_again


async def test_an_order_that_was_set_aside_can_still_be_released(shopify, held):
    owner = await shopify.harness.sign_in()
    await owner.post(f"{held}/dismiss")
    shown = await owner.post(f"{held}/preview", ADDED)
    await owner.post(f"{held}/release", {**ADDED, "seen": seen_of(shown)})

    assert (await shopify.package()).order.patient_name == "Avery Stone"


async def test_who_may_not_amend_orders_sees_the_reason_and_no_button(shopify, held):
    dispatcher = await shopify.harness.sign_in("dispatcher")
    page = await dispatcher.get(held)
    refused = [
        (await dispatcher.post(f"{held}/{each}", ADDED)).status_code
        for each in ("preview", "release", "dismiss", "clear")
    ]

    assert "Your role may not release orders" in words_of(page)
    assert refused == [403] * 4
    assert await shopify.packages() == []


async def test_another_site_or_mode_sees_neither_shop_nor_order(shopify, held):
    owner = await shopify.harness.sign_in()
    elsewhere = await shopify.harness.sign_in("manager", sites=["nowhere"])
    test_path = held.replace("/dashboard/", "/dashboard/test/")

    assert (await owner.get(test_path)).status_code == 404
    assert (await elsewhere.get(held)).status_code == 404
    assert SHOP not in (await elsewhere.get(PATH)).text


async def test_a_change_of_an_order_is_noted_for_pages_that_are_open(shopify, held):
    assert "shop_orders" in await topics(shopify)
    page = await (await shopify.harness.sign_in()).get(PATH)
    assert 'data-live="shop_orders"' in page.text


async def test_the_same_over_http(shopify, held):
    order_id = held.rpartition("/")[2]
    api = "/api/shopify/orders"
    shops = (await shopify.harness.get("/api/shopify/shops", shopify.key)).json()["shops"]
    masked = await shopify.harness.issue_key(scopes=("packages.read", "orders.amend"))
    shown = (await shopify.harness.post(f"{api}/{order_id}/preview", masked, ADDED)).json()
    bare = (await shopify.harness.post(f"{api}/{order_id}/preview", masked, {})).json()
    done = (await shopify.harness.post(f"{api}/{order_id}/dismiss", masked, {})).json()

    [shop] = shops
    assert (shop["shop"], shop["state"], shop["held"]) == (SHOP, "no_credentials", 1)
    assert shop["last_order_at"] is not None
    assert (shown["outcome"], shown["makes"]["patient_name"]) == ("make", "Avery S.")
    assert (bare["outcome"], bare["reason"], bare["makes"]) == (
        "hold",
        "protected_data_missing",
        None,
    )
    assert (done["state"], done["reason"]) == ("skipped", "dismissed")
