"""The page ERP stores, and the panel of a package: as a browser without a script gets them."""

import asyncio
import re

ORDER = {"patient_name": "A. Smith", "patient_address": "1 Elm St, Miami, FL 33178"}


async def test_a_store_is_connected_and_disconnected_and_said_so(gateway):
    manager = await gateway.sign_in("manager")
    empty = await manager.get("/dashboard/acme-erp")
    done = await manager.post("/dashboard/acme-erp", {"store": "S-014", "events": "all"})
    shown = await manager.get(done.headers["location"])
    store_id = re.search(r'<li data-id="(dst_\w+)"', shown.text)[1]
    await manager.post("/dashboard/acme-erp/disconnect", {"id": store_id})
    gone = await manager.get("/dashboard/acme-erp")

    assert "No store yet" in empty.text
    assert "<strong>S-014</strong>" in shown.text
    assert "Connected: store S-014" in shown.text
    assert "Undo" in shown.text
    assert "S-014</strong>" not in gone.text


async def test_a_mistake_brings_the_page_back_with_what_was_typed(gateway):
    manager = await gateway.sign_in("manager")
    fields = {"store": "S-014", "events": "all"}
    await manager.post("/dashboard/acme-erp", fields)
    again = await manager.post("/dashboard/acme-erp", fields)
    none = await manager.post("/dashboard/acme-erp", {"store": " ", "events": "all"})

    assert again.status_code == 409
    assert "This store is connected already; disconnect it first." in again.text
    assert 'value="S-014"' in again.text
    assert none.status_code == 400


async def test_it_speaks_the_readers_language(gateway):
    page = await (await gateway.sign_in(language="fr")).get("/dashboard/acme-erp")

    assert "<h1>Magasins de l’ERP</h1>" in page.text  # noqa: RUF001
    assert "Pas encore de magasin" in page.text


async def test_who_may_not_connect_stores_has_no_such_page(gateway):
    pharmacist = await gateway.sign_in("pharmacist")
    today = await pharmacist.get("/dashboard")

    assert (await pharmacist.get("/dashboard/acme-erp")).status_code == 403
    assert "/dashboard/acme-erp" not in today.text


async def test_a_packages_page_lists_what_the_erp_received(gateway, key, erp):
    owner = await gateway.sign_in()
    await owner.post("/dashboard/acme-erp", {"store": "S-014", "events": "all"})
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [package_id] = answer.json()["package_ids"]
    await asyncio.to_thread(erp.wait_until, lambda: erp.sent)
    sent = await owner.get(f"/dashboard/packages/{package_id}")

    assert "Sent to the ERP" in sent.text
    assert "<code>package.created</code><p>S-014" in sent.text


async def test_a_package_that_the_erp_does_not_know_has_no_panel(gateway, key):
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [package_id] = answer.json()["package_ids"]
    page = await (await gateway.sign_in()).get(f"/dashboard/packages/{package_id}")

    assert page.status_code == 200
    assert "Sent to the ERP" not in page.text
