"""The signature log says who took which fill, and what is missing."""

import hashlib
from datetime import timedelta

from plugins.reports.conftest import TOML, Day, delivered

from gateway.plugin import PLACES, PlaceRules, hookimpl

PROOF = {
    "signature_url": "https://sign.example/1.png",
    "signer_name": "Ana Rodriguez",
    "signer_relationship": "daughter",
    "id_checked": "driver licence",
}


async def test_fifty_pasted_numbers_come_back_line_by_line(day):
    bags = [
        {
            "external_order_id": f"O-{number}",
            "prescriptions": [
                {"rx_number": f"RX-{number}", "fill_number": 2, "filled_on": "2026-10-30"},
                {"rx_number": f"RX-{number + 100}"},
            ],
        }
        for number in range(45)
    ]
    ids = await day.bags(bags)
    await day.report([delivered(each, proof=PROOF, driver_id="drv_1") for each in ids[:40]])
    await day.report([delivered(ids[40], notes="left with the doorman")])
    numbers = [f"RX-{number}" for number in range(50)]

    log = await day.signatures(*numbers)

    assert [each["rx_number"] for each in log["lines"]] == numbers
    assert log["lines"][7] == {
        "rx_number": "RX-7",
        "result": "delivered",
        "fill_number": 2,
        "filled_on": "2026-10-30",
        "package_id": ids[7],
        "delivered_at": "2026-11-01T15:00:00-05:00",
        "time_zone": "America/Toronto",
        "patient_name": "Maria Rodriguez",
        "address": "12 Queen St W, Toronto, ON M5H 2M9",
        "signer_name": "Ana Rodriguez",
        "signer_relationship": "daughter",
        "id_checked": "driver licence",
        "signed": "elsewhere",
        "signature": "https://sign.example/1.png",
        "unsigned_reason": None,
        "rule_problems": [],
        "driver_id": "drv_1",
    }
    assert log["lines"][40]["unsigned_reason"] == "left with the doorman"
    assert [each["result"] for each in log["lines"][41:45]] == ["created"] * 4
    assert log["not_found"] == numbers[45:]
    assert log["unsigned"] == 1


async def test_the_digest_is_that_of_the_file(day):
    [bag] = await day.bags([{"rx_number": "RX-1"}])
    await day.report([delivered(bag, proof=PROOF)])
    sent = {"rx_numbers": ["RX-1", "RX-2"]}

    log = await day.signatures("RX-1", "RX-2")
    file = await day.gateway.post("/api/reports/signatures?as_csv=true", day.key, sent)

    assert hashlib.sha256(file.content).hexdigest() == log["digest"]
    assert file.headers["X-Content-SHA256"] == log["digest"]
    assert file.headers["Content-Disposition"] == 'attachment; filename="signature-log.csv"'


async def test_no_cell_of_the_file_runs_as_a_formula(day):
    [bag] = await day.bags([{"rx_number": "RX-1", "patient_name": "=HYPERLINK(1)"}])
    await day.report([delivered(bag, notes="@SUM(A1)")])

    file = await day.gateway.post(
        "/api/reports/signatures?as_csv=true", day.key, {"rx_numbers": ["RX-1"]}
    )

    assert ",'=HYPERLINK(1)," in file.text
    assert ",'@SUM(A1)," in file.text


async def test_days_of_delivery_narrow_it(day):
    early, late = await day.bags([{"rx_number": "RX-1"}, {"rx_number": "RX-1"}])
    await day.report([delivered(early, "2026-10-30T20:00:00Z"), delivered(late)])

    log = await day.signatures("RX-1", since="2026-11-01", until="2026-11-01")

    assert [each["package_id"] for each in log["lines"]] == [late]


async def test_what_is_shown_is_audited_for_the_patient(day):
    [bag] = await day.bags([{"rx_number": "RX-1"}])
    await day.report([delivered(bag, proof=PROOF)])

    await day.signatures("RX-1")

    trail = (await day.gateway.post("/api/audit/search", day.key, {})).json()["rows"]
    [export] = [each for each in trail if each["action"] == "reports.signatures"]
    assert (export["kind"], export["subject"]) == ("export", bag)


async def test_a_key_that_sees_masked_packages_gets_no_log(day):
    key = await day.gateway.issue_key(scopes=("orders", "reports.signatures"))

    answer = await day.gateway.post("/api/reports/signatures", key, {"rx_numbers": ["RX-1"]})

    assert answer.status_code == 403


async def test_a_list_that_cannot_be_is_refused_without_an_echo(day):
    for numbers in ([], ["RX-1"] * 0 + [f"R{each}" for each in range(501)], ["x" * 101]):
        answer = await day.gateway.post("/api/reports/signatures", day.key, {"rx_numbers": numbers})
        assert answer.status_code == 400
        assert "xxx" not in answer.text


async def test_what_broke_the_rules_of_the_place_is_named_and_left_to_a_person(harness, clock):
    toml = TOML.replace('country = "CA"', 'country = "CA"\nrules = "ontario"')
    async with harness(toml, clock=clock) as gateway:
        day = Day(gateway, await gateway.issue_key())
        agent = {"metadata": {"agents": "Ana Rodriguez; B. Lee"}}
        numbers = ["RX-1", "RX-2", "RX-3", "RX-4"]
        orders = [{"rx_number": each, **(agent if each == "RX-1" else {})} for each in numbers]
        ids = await day.bags(orders)
        await day.report(
            [
                delivered(ids[0], proof=PROOF),
                delivered(ids[1], proof=PROOF),
                delivered(ids[2], proof={"left_at": "front door"}),
                delivered(ids[3], proof={**PROOF, "signer_relationship": "Driver"}),
            ]
        )

        log = await day.signatures(*numbers)
        shown = [
            (await gateway.get(f"/api/packages/{each}", day.key)).json().get("needs_person", False)
            for each in ids
        ]

    assert [each["rule_problems"] for each in log["lines"]] == [
        [],
        ["The signer was not named as an agent beforehand."],
        ["It was left without a signature; that can't be waived."],
        ["The driver signed; the patient or a named agent has to."],
    ]
    assert shown == [False, True, True, True]


class Quebec:
    """A plugin with the rules of another place."""

    @hookimpl
    def extensions(self, point):
        return [PlaceRules("quebec", self.check, proof_years=5)] if point == PLACES else []

    def check(self, _order, update):
        return () if update.notes else ("Nothing is noted.",)


async def test_a_plugin_brings_the_rules_of_another_place(harness, clock):
    made = harness(TOML.replace('country = "CA"', 'country = "CA"\nrules = "quebec"'), clock=clock)
    made.gateway.hooks.register(Quebec(), "quebec")
    async with made as gateway:
        day = Day(gateway, await gateway.issue_key())
        ids = await day.bags([{"rx_number": "RX-1"}, {"rx_number": "RX-2"}])
        await day.report([delivered(ids[0]), delivered(ids[1], notes="by hand")])
        log = await day.signatures("RX-1", "RX-2")
        ages = gateway.gateway.places.proof_ages

    assert [each["rule_problems"] for each in log["lines"]] == [["Nothing is noted."], []]
    assert ages["default", "lakeside"] == timedelta(days=1827)
