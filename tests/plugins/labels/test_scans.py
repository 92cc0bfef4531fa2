"""A picture becomes a draft, and only a person's confirmation makes it an order."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from gateway_labels.label_reader import INSTALL, can_read, need_extra
from plugins.labels.conftest import TOML
from plugins.labels.reader import FakeReader
from plugins.labels.scans import ORDER, Scans
from sqlalchemy import text

from gateway.plugin import FileTooSlow, FileUnreadable, MissingExtra, ReaderCrashed
from gateway.testing import SteppingClock

pytestmark = pytest.mark.usefixtures("reads_labels")

NOON = datetime(2026, 11, 29, 17, 0, tzinfo=UTC)


@pytest.fixture
def reader(monkeypatch):
    fake = FakeReader()
    monkeypatch.setattr("gateway_labels.work.new_sandbox", lambda _seconds: fake)
    return fake


@pytest.fixture
async def gateway(harness, reader):
    async with harness(TOML) as running:
        yield running


@pytest.fixture
async def scans(gateway):
    return Scans(gateway, await gateway.issue_key())


async def rows(gateway, query):
    async with gateway.gateway.database.read() as connection:
        return (await connection.execute(text(query))).all()


async def test_a_picture_is_read_confirmed_and_delivered_as_any_order(
    harness, reader, database_url
):
    toml = f'[database]\nurl = "{database_url}"\n{TOML}'
    async with harness(toml) as gateway:
        scans = Scans(gateway, await gateway.issue_key())
        scan = await scans.read()
        before = await scans.packages()
        answer = await scans.confirm(scan["scan_id"])
        [package] = await scans.packages()
        decided = await scans.show(scan["scan_id"])

    assert scan["status"] == "draft"
    assert scan["draft"]["patient_name"] == "MARIA RODRIGUEZ"
    assert scan["quality"] == {"verdict": "good", "advice": None}
    assert before == []
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "created": 1,
            "package_ids": [package["id"]],
            "warnings": [],
            "results": [{"index": 0, "status": "created", "package_id": package["id"]}],
        },
    )
    assert (package["source"], package["site"], package["rx_number"]) == (
        "label",
        "lakeside",
        "8872341",
    )
    assert (decided["status"], decided["package_id"]) == ("confirmed", package["id"])
    assert decided["edited"] == ["patient_name", "patient_address"]


async def test_the_answer_comes_before_the_picture_is_read(scans, reader):
    answer = await scans.send()

    scan_id = answer.json()["scan_id"]
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/labels/{scan_id}")
    assert answer.json() == {"scan_id": scan_id, "status": "reading"}
    assert (await scans.settled(scan_id))["status"] == "draft"
    assert len(reader.seen) == 1


async def test_the_picture_is_shown_upright_and_without_what_was_sent(gateway, scans, reader):
    scan = await scans.read()
    shown = await gateway.get(scan["picture"], scans.key)

    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    assert shown.content[:3] == b"\xff\xd8\xff"
    assert shown.content != reader.seen[0]
    assert shown.headers["content-disposition"].startswith("attachment")


async def test_a_label_makes_one_package_however_often_it_is_confirmed(scans):
    scan_id = (await scans.read())["scan_id"]
    first = (await scans.confirm(scan_id, headers={"Idempotency-Key": "k1"})).json()
    replayed = await scans.confirm(scan_id, headers={"Idempotency-Key": "k1"})
    again = (await scans.confirm(scan_id, {**ORDER, "external_order_id": "other"})).json()
    other = (await scans.confirm(scan_id, headers={"Idempotency-Key": "k2"})).json()

    assert replayed.json() == first
    assert replayed.headers["idempotent-replayed"] == "true"
    for each in (again, other):
        assert each["results"] == [
            {"index": 0, "status": "duplicate", "package_id": first["package_ids"][0]}
        ]
    assert len(await scans.packages()) == 1


async def test_ten_confirmations_at_once_make_one_package(scans):
    scan_id = (await scans.read())["scan_id"]
    answers = await asyncio.gather(*(scans.confirm(scan_id) for _ in range(10)))

    made = [each.json() for each in answers if each.status_code == 200]
    assert {each.status_code for each in answers} <= {200, 409}
    assert sum(each["created"] for each in made) == 1
    assert len(await scans.packages()) == 1


async def test_an_order_that_is_refused_leaves_the_draft(scans):
    scan_id = (await scans.read())["scan_id"]
    bad = await scans.confirm(scan_id, {"patient_name": "Ana Reed", "copay_amount": -1})
    draft = await scans.show(scan_id)
    good = await scans.confirm(scan_id)

    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_input")
    assert {each["field"] for each in bad.json()["details"]} >= {"patient_address"}
    assert draft["status"] == "draft"
    assert good.json()["created"] == 1


async def test_a_refused_label_is_no_order_and_an_order_is_not_refused(scans):
    refused_id = (await scans.read())["scan_id"]
    first, second = await scans.refuse(refused_id), await scans.refuse(refused_id)
    late = await scans.confirm(refused_id)
    made_id = (await scans.read())["scan_id"]
    await scans.confirm(made_id)
    too_late = await scans.refuse(made_id)

    assert [each.status_code for each in (first, second, late, too_late)] == [204, 204, 409, 409]
    assert "refused" in late.json()["error"]
    assert len(await scans.packages()) == 1


async def test_a_package_with_the_same_rx_number_is_named(gateway, scans):
    created = await gateway.post("/api/webhook/orders", scans.key, {"orders": [ORDER]})
    scan = await scans.read()

    assert scan["existing"] == {
        "package_id": created.json()["package_ids"][0],
        "status": "created",
    }


async def test_what_was_read_needs_the_permission_to_see_patients(gateway, scans):
    scan_id = (await scans.read())["scan_id"]
    narrow = Scans(gateway, await gateway.issue_key(scopes=["labels.scan"]))
    answers = [
        await gateway.get(f"/api/labels/{scan_id}", narrow.key),
        await gateway.get(f"/api/labels/{scan_id}/picture", narrow.key),
        await narrow.confirm(scan_id),
    ]
    listed = await gateway.get("/api/labels", narrow.key)

    assert [each.status_code for each in answers] == [403, 403, 403]
    assert listed.status_code == 200
    assert "RODRIGUEZ" not in listed.text
    assert (await narrow.send()).status_code == 202


async def test_a_scan_is_not_seen_from_another_account_or_mode(gateway, scans):
    scan_id = (await scans.read())["scan_id"]
    for key in (
        await gateway.issue_key(mode="test"),
        await gateway.issue_key(account_id="other"),
    ):
        stranger = Scans(gateway, key)
        answers = [
            await gateway.get(f"/api/labels/{scan_id}", key),
            await gateway.get(f"/api/labels/{scan_id}/picture", key),
            await stranger.confirm(scan_id),
            await stranger.refuse(scan_id),
        ]
        assert [each.status_code for each in answers] == [404] * 4
        assert (await gateway.get("/api/labels", key)).json()["scans"] == []


async def test_looks_and_decisions_are_audited_with_the_rx_number_as_an_index(gateway, scans):
    scan_id = (await scans.read())["scan_id"]
    await gateway.get(f"/api/labels/{scan_id}/picture", scans.key)
    await scans.confirm(scan_id)
    found = await rows(
        gateway, "SELECT kind, action FROM audit WHERE action LIKE 'label.%' ORDER BY id"
    )

    assert ("view", "label.viewed") in found
    assert found[-1] == ("change", "label.confirmed")


async def test_the_31st_picture_in_a_minute_waits(harness, reader):
    # No picture is refused because others wait to be read.
    toml = TOML.replace("[plugins.labels]", "[plugins.labels]\nwaiting_most = 100")
    async with harness(toml) as gateway:
        scans = Scans(gateway, await gateway.issue_key())
        codes = []
        for _ in range(31):
            answer = await scans.send()
            codes.append(answer.status_code)

    assert codes == [202] * 30 + [429]
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "rate_limited"


async def test_a_full_queue_says_how_long_to_wait(harness, reader):
    async with harness(
        TOML.replace("[plugins.labels]", "[plugins.labels]\nwaiting_most = 1")
    ) as it:
        scans = Scans(it, await it.issue_key())
        async with it.gateway.database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO labels_scans (id, account_id, mode, actor, state, created_at_ms,"
                    " picture_parts) VALUES ('scn_1', 'default', 'live', 'x', 'reading',"
                    f" {int(NOON.timestamp() * 1000) * 10}, 0)"
                )
            )
        answer = await scans.send()

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == 4


async def test_a_picture_that_can_not_be_read_says_why_and_is_not_kept(gateway, scans, reader):
    for fault, words in (
        (FileUnreadable("x", "kind"), "Send a JPEG, PNG or WebP picture"),
        (FileUnreadable("x", "pages"), "a PDF of one page"),
        (FileUnreadable("x", "pixels"), "more than 40 megapixels"),
        (FileTooSlow("x"), "too much memory or time"),
        (ReaderCrashed("x", "KeyError", b"Ana Reed"), "it is damaged"),
    ):
        reader.fault = fault
        scan = await scans.read()
        assert (scan["status"], words in scan["error"]) == ("failed", True), words
        assert "picture" not in scan
    assert await rows(gateway, "SELECT * FROM labels_pictures") == []


async def test_a_picture_of_more_than_8_mb_is_refused_and_so_is_none(gateway, scans):
    large = await scans.send(b"\xff\xd8\xff" + bytes(8_000_001))
    none = await gateway.request("POST", "/api/labels", scans.key, {"file": "x"})

    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    assert none.status_code == 415
    assert await rows(gateway, "SELECT * FROM labels_scans") == []


async def test_drafts_and_pictures_are_erased_at_their_age(harness, reader):
    clock = SteppingClock(NOON)
    async with harness(TOML, clock=clock) as gateway:
        scans = Scans(gateway, await gateway.issue_key())
        [draft, made, refused] = [(await scans.read())["scan_id"] for _ in range(3)]
        await scans.confirm(made)
        await scans.refuse(refused)
        tidy = next(each for each in gateway.gateway.hooks.jobs() if each.name == "labels-tidy")
        clock.step(timedelta(days=3, minutes=1).total_seconds())
        await tidy.run()
        after_three = {each: await scans.show(each) for each in (draft, made, refused)}
        clock.step(timedelta(days=4).total_seconds())
        await tidy.run()
        kept = await rows(gateway, "SELECT id, state, package_id FROM labels_scans")
        contents = await rows(gateway, "SELECT content FROM labels_scans")
        pictures = await rows(gateway, "SELECT * FROM labels_pictures")
        package = after_three[made]["package_id"]

    assert [each["status"] for each in after_three.values()] == ["expired", "confirmed", "refused"]
    assert "fields" not in after_three[draft]
    assert after_three[made]["picture"]
    assert {tuple(each) for each in kept} == {
        (draft, "expired", None),
        (made, "confirmed", package),
        (refused, "refused", None),
    }
    assert contents == [(None,)] * 3
    assert pictures == []


async def test_nothing_of_a_label_is_in_clear_in_the_database(gateway, scans, tmp_path):
    scan = await scans.read()
    await scans.confirm(scan["scan_id"])
    files = b"".join(each.read_bytes() for each in tmp_path.rglob("*.db*"))

    assert len(files) > 10_000
    for secret in (b"RODRIGUEZ", b"Rodriguez", b"8872341", b"7TH AVE", b"7th Ave", b"JFIF"):
        assert secret not in files


async def test_what_a_person_corrected_is_counted_by_field(gateway, scans):
    scan_id = (await scans.read())["scan_id"]
    await scans.confirm(scan_id, {**ORDER, "rx_number": "8872347", "prescriptions": []})
    metrics = (await gateway.get("/metrics")).text

    assert 'gateway_labels_fields_confirmed_total{field="rx_number"} 1' in metrics
    assert 'gateway_labels_fields_edited_total{field="rx_number"} 1' in metrics
    assert 'gateway_labels_fields_edited_total{field="copay_amount"}' not in metrics


async def test_drafts_that_wait_are_on_the_list_of_what_needs_a_person(gateway, scans):
    await scans.read()
    items = await gateway.gateway.attention.of(gateway.caller())

    [item] = [each for each in items if each.kind == "label_drafts"]
    assert (item.count, item.page) == (1, "scan")
    assert item.text == "1 label was read and waits for a person."


async def test_a_gateway_without_the_libraries_is_well_and_names_them():
    report = await can_read(lambda _module: False)

    assert report.healthy
    assert INSTALL in report.detail


async def test_without_the_libraries_a_call_says_the_line_that_installs_them(
    gateway, scans, monkeypatch
):
    def missing():
        need_extra(lambda _module: False)

    monkeypatch.setattr("gateway_labels.routes.need_extra", missing)
    answer = await scans.send()

    assert (answer.status_code, INSTALL in answer.json()["error"]) == (501, True)
    with pytest.raises(MissingExtra, match="rx-gateway\\[labels\\]"):
        missing()


def test_the_gateway_imports_no_library_of_the_extra():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import gateway_labels, sys; print([each for each in ('rapidocr', 'onnxruntime', "
                "'zxingcpp', 'pypdfium2', 'cv2', 'numpy', 'PIL') if each in sys.modules])"
            ),
        ],
        capture_output=True,
        check=True,
        text=True,
    )

    assert said.stdout.strip() == "[]"
