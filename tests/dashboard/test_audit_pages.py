"""Audit, who saw a patient, emergencies and bag labels as a browser without script gets them."""

import re
from datetime import UTC, datetime
from html import unescape

import pytest
from sqlalchemy import insert, update

from gateway.clock import SteppingClock
from gateway.model.audit import AuditEntry, via_of
from gateway.storage.schema import audit, disclosures

pytestmark = pytest.mark.pages

TOML = """
[plugins.json_api]
[plugins.webhooks]
[[sites]]
code = "main"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
"""
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Toronto",
    "patient_phone": "+14165550123",
    "notes": "key under the mat",
    "rx_number": "RX-8872341",
    "copay_amount": 12.5,
    "requires_signature": True,
}
REASON = "The driver asks what was delivered: the patient is unconscious."


@pytest.fixture
def clock():
    return SteppingClock(datetime(2026, 4, 20, 14, tzinfo=UTC))


@pytest.fixture
async def running(harness, clock):
    async with harness(TOML, clock) as opened:
        yield opened


@pytest.fixture
async def package_id(running):
    return await ordered(running)


async def ordered(running, **more):
    key = await running.issue_key()
    answer = await running.post("/api/webhook/orders", key, {"orders": [ORDER | more]})
    return answer.json()["package_ids"][0]


def said(answer):
    """Return the text of a page's main part."""
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


async def test_the_trail_is_filtered_by_what_was_done_by_whom_and_when(running, package_id):
    manager = await running.sign_in("manager", name="Mina Park")
    pharmacist = await running.sign_in("pharmacist", name="Paul Roy")
    await pharmacist.get(f"/dashboard/packages/{package_id}")
    await pharmacist.post(f"/dashboard/packages/{package_id}/reveal", {"purpose": "care"})

    every = await manager.get("/dashboard/audit")
    [actor] = re.findall(r'<option value="(per_\w+)">Paul Roy</option>', every.text)
    reveals = await manager.get(f"/dashboard/audit?kind=reveal&actor={actor}&since=2026-04-20")
    earlier = await manager.get("/dashboard/audit?kind=reveal&until=2026-04-19")
    nonsense = await manager.get("/dashboard/audit?since=soon")

    assert "package.revealed" in every.text
    assert "key.created" in every.text
    assert "package.revealed" in reveals.text
    assert "package.viewed" in every.text
    assert "package.viewed" not in reveals.text
    assert "key.created" not in reveals.text
    assert "Paul Roy" in said(reveals)
    assert "address and phone, name, prescriptions" in said(reveals)
    assert "Care" in said(reveals)
    assert "No row fits these filters" in said(earlier)
    assert nonsense.status_code == 400
    assert "Rodriguez" not in every.text + reveals.text


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (f"rows=3 closed=9 sum={0:064x}", "3 entries, by their checksum"),
        (f"rows=1 closed=9 sum={0:064x}", "1 entry, by its checksum"),
        ("rows=three", "rows=three"),  # as someone wrote into the database
    ],
)
async def test_a_checksum_of_the_ledger_is_told_in_words(running, subject, words):
    entry = AuditEntry("default", "gateway", "disclosures.closed", subject, via=via_of("gateway"))
    await running.gateway.audit.note([entry])
    manager = await running.sign_in("manager")

    assert words in said(await manager.get("/dashboard/audit"))


async def test_older_rows_follow_on_a_page_of_their_own(running):
    key = await running.issue_key()
    for number in range(60):
        await running.post("/api/audit/patient", key, {"rx_number": f"RX-{number}"})
    manager = await running.sign_in("manager")

    first = await manager.get("/dashboard/audit?kind=search&action=report.access")
    [older] = re.findall(r'href="([^"]+before=\d+[^"]*)"', first.text)
    second = await manager.get(unescape(older))

    rows = [re.findall(r'<tr data-id="(\d+)"', each.text) for each in (first, second)]
    assert [len(each) for each in rows] == [50, 10]
    assert len({*rows[0], *rows[1]}) == 60


async def test_the_rows_that_the_filters_leave_are_exported(running, package_id):
    manager = await running.sign_in("manager")
    await manager.post(f"/dashboard/packages/{package_id}/reveal", {"purpose": "care"})

    file = await manager.post("/dashboard/audit/export", {"kind": "reveal"})

    lines = file.text.splitlines()
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert lines[0].startswith("sequence,at,actor,action,kind,subject")
    assert [line.split(",")[3] for line in lines[1:]] == ["package.revealed"]
    async with running.gateway.database.read() as connection:
        newest = await running.gateway.reports.page(connection, running.caller(), wanted(1))
    assert [each.action for each in newest] == ["audit.exported"]


def wanted(limit):
    from gateway.storage.stores.access_reports import AuditFilter

    return AuditFilter(limit)


async def test_the_chain_is_verified_and_a_changed_row_shows(running, package_id, clock):
    manager = await running.sign_in("manager")
    await manager.post(f"/dashboard/packages/{package_id}/reveal", {"purpose": "care"})
    whole = await manager.post("/dashboard/audit/verify")
    async with running.gateway.database.begin() as connection:
        await connection.execute(
            update(audit).where(audit.c.kind == "reveal").values(purpose="legal")
        )
    changed = await manager.post("/dashboard/audit/verify")

    assert "The trail is whole." in said(whole)
    assert "The trail is not as it was written." in said(changed)
    assert "does not follow from the row before it" in said(changed)


async def test_a_disclosure_that_was_put_in_shows_too(running):
    manager = await running.sign_in("manager")
    async with running.gateway.database.begin() as connection:
        await connection.execute(
            insert(disclosures).values(
                id="dis_1",
                account_id="default",
                mode="live",
                recipient="dst_1",
                event_type="package.created",
                fields="contact",
                first_at_ms=1,
                last_at_ms=1,
                count=1,
                patient=b"x",
            )
        )
    changed = await manager.post("/dashboard/audit/verify")

    assert "the ledger of disclosures was changed" in said(changed)


async def test_a_record_opened_in_an_emergency_is_on_every_page_until_it_closes(
    running, package_id, clock
):
    dispatcher = await running.sign_in("dispatcher", name="Dan Wolf")
    path = f"/dashboard/packages/{package_id}"
    before = await dispatcher.post(f"{path}/reveal", {"purpose": "delivery"})
    asked = await dispatcher.get(f"{path}/emergency")
    short = await dispatcher.post(f"{path}/emergency", {"reason": "please"})
    opened = await dispatcher.post(f"{path}/emergency", {"reason": REASON})
    pages = [
        await dispatcher.get(f"/dashboard/{each}")
        for each in ("", "packages", f"packages/{package_id}", "me", "reports/nowhere", "audit")
    ]
    shown = await dispatcher.post(f"{path}/reveal", {"purpose": "delivery"})
    other = await running.sign_in("dispatcher")
    elsewhere = await other.get("/dashboard/packages")
    for _ in range(3):
        clock.step(601)  # a session that does nothing for a quarter of an hour is locked
        closed = await dispatcher.get("/dashboard/packages")
    after = await dispatcher.post(f"{path}/reveal", {"purpose": "delivery"})

    assert "RX-8872341" not in before.text
    assert "Open it for 30 minutes" in said(asked)
    assert "Maria R" in said(asked)
    assert short.status_code == 400
    assert opened.status_code == 303
    assert [each.status_code for each in pages] == [200, 200, 200, 200, 404, 403]
    for each in pages:
        assert "Opened in an emergency: a record is shown to you in full until 10:30" in said(each)
    assert "RX-8872341" in shown.text
    assert closed.status_code == after.status_code == 200
    assert "in an emergency:" not in elsewhere.text + closed.text
    assert "RX-8872341" not in after.text


async def test_an_emergency_waits_for_a_review_by_another_person(running, package_id):
    manager = await running.sign_in("manager", name="Mina Park")
    officer = await running.sign_in("privacy_officer")
    await manager.post(f"/dashboard/packages/{package_id}/emergency", {"reason": REASON})
    own = await manager.get("/dashboard/audit")
    waiting = await officer.get("/dashboard/audit")
    [emergency] = re.findall(r'name="id" value="(emg_\w+)"', waiting.text)
    refused = await manager.post("/dashboard/audit/review", {"id": emergency})
    reviewed = await officer.post("/dashboard/audit/review", {"id": emergency})
    twice = await officer.post("/dashboard/audit/review", {"id": emergency})
    after = await officer.get("/dashboard/audit")

    assert "another person reviews it" in said(own)
    assert f"Mina Park opened package …{package_id[-6:]}" in said(waiting)
    assert REASON in said(waiting)
    assert re.search(r'href="/dashboard/audit".*?<span class="badge" data-s="warn">1', waiting.text)
    assert refused.status_code == 403
    assert reviewed.status_code == 303
    assert twice.status_code == 409
    assert "waiting for a review" not in said(after)


async def test_the_privacy_officer_is_told_who_saw_a_patient_and_sees_no_record(
    running, package_id
):
    pharmacist = await running.sign_in("pharmacist", name="Paul Roy")
    await pharmacist.post(f"/dashboard/packages/{package_id}/reveal", {"purpose": "care"})
    officer = await running.sign_in("privacy_officer", name="Olga Ruiz")

    by_phone = await officer.post("/dashboard/patient-reports", {"patient_phone": "416 555 0123"})
    none = await officer.post("/dashboard/patient-reports", {"rx_number": "RX-1"})
    file = await officer.post("/dashboard/patient-reports/file", {"rx_number": "RX-8872341"})
    record = await officer.get(f"/dashboard/packages/{package_id}")

    assert "Paul Roy" in said(by_phone)
    assert "address and phone, name, prescriptions" in said(by_phone)
    assert "Olga Ruiz, 20 Apr 2026, 10:00:00 (America/Toronto)" in said(by_phone)
    assert "data-print" in by_phone.text
    assert "Nothing is recorded for this" in said(none)
    assert "package.revealed" in file.text
    assert record.status_code == 403


async def test_disclosures_name_the_receiver_and_the_fields(running, package_id):
    manager = await running.sign_in("manager", name="Mina Park")
    await manager.post("/dashboard/packages/manifest", {"id": package_id})

    report = await manager.post(
        "/dashboard/patient-reports/disclosures",
        {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St, Toronto"},
    )

    assert "manifest.printed" in report.text
    assert "address and phone, name, copay" in said(report)
    assert "Mina Park manifest.printed" in said(report)
    assert "20 Apr 2026, 10:00" in said(report)


async def test_a_patient_is_named_in_exactly_one_way(running):
    manager = await running.sign_in("manager")
    two = {"rx_number": "RX-1", "patient_phone": "+14165550123"}
    for fields in ({}, two, {"patient_name": "Maria"}):
        answer = await manager.post("/dashboard/patient-reports", fields)

        assert answer.status_code == 400, fields
        assert "Name the patient in exactly one way." in said(answer)


async def test_a_role_sees_its_own(running):
    for role, path, status in (
        ("pharmacist", "audit", 403),
        ("pharmacist", "patient-reports", 200),
        ("dispatcher", "patient-reports", 403),
        ("integrator", "audit", 403),
        ("privacy_officer", "audit", 200),
    ):
        browser = await running.sign_in(role)

        assert (await browser.get(f"/dashboard/{path}")).status_code == status, (role, path)


async def test_a_bag_label_names_no_drug_no_rx_and_no_phone_and_is_logged_as_a_print(
    running, package_id
):
    other = await ordered(running, rx_number="RX-5550001", copay_amount=0)
    dispatcher = await running.sign_in("dispatcher")

    both = await dispatcher.post("/dashboard/packages/labels", {"id": [package_id, other]})
    roll = await dispatcher.post("/dashboard/packages/labels", {"id": other, "size": "62mm"})
    none = await dispatcher.post("/dashboard/packages/labels")
    page = await dispatcher.get(f"/dashboard/packages/{package_id}")

    assert said(both).count("Maria Rodriguez") == 2
    assert "123 Main St, Toronto" in said(both)
    assert said(both).count("Collect $12.50") == 1
    assert "Signature required" in said(both)
    assert 'data-size="4x6"' in both.text
    assert 'data-size="62mm"' in roll.text
    for hidden in ("8872341", "5550001", "4165550123", "under the mat"):
        assert hidden not in both.text + roll.text
    assert none.status_code == 400
    assert "Bag label" in said(page)
    async with running.gateway.database.read() as connection:
        rows = await running.gateway.reports.page(connection, running.caller(), wanted(20))
    prints = [each for each in rows if each.action == "bag_label.printed"]
    assert {(each.kind, each.purpose) for each in prints} == {("print", "delivery")}
    assert sorted(each.subject for each in prints) == sorted([other, other, package_id])
