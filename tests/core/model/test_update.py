"""A delivery update is refused with every fault it has; what it tells is kept in full."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidInput, Problem
from gateway.model.package import EVENT_FOR, FAILURE_REASONS, STATUS_AFTER, DeliveryUpdate, Proof
from gateway.model.update import COPAY_METHODS, check_update, facts_of
from gateway.model.wire import encode

AT = datetime(2026, 4, 19, 18, 41, 57, tzinfo=UTC)
PROOF = Proof(photo_url="https://example.com/p.jpg", lat=25.8612, lng=-80.2983, captured_at=AT)
GOOD = DeliveryUpdate(
    package_id="pkg_1",
    event="delivery.completed",
    occurred_at=AT,
    driver_id="drv_b12c",
    proof=PROOF,
    copay_collected=Decimal("12.5"),
    copay_method="card",
    failure_reason="other",
    notes="left with the neighbour",
    event_ref="ref-1",
)
EVENT = Problem(
    "event must be one of delivery.arrived, delivery.assigned, delivery.attempted, "
    "delivery.completed, delivery.failed, delivery.out_for_delivery, delivery.picked_up, "
    "delivery.rescheduled, delivery.returned, delivery.returning, delivery.unassigned, "
    "package.cancelled, package.ready",
    field="event",
)
COPAY = Problem(
    "copay_collected must be between 0 and 10000, with at most two decimal places",
    field="copay_collected",
)
METHOD = Problem(
    "copay_method must be one of cash, card, check, online, on_account, waived",
    field="copay_method",
)
ZONE = Problem(
    "occurred_at must say its time zone, as in 2026-04-19T18:42:10Z", field="occurred_at"
)
PROOF_ZONE = Problem(
    "proof.captured_at must say its time zone, as in 2026-04-19T18:42:10Z",
    field="proof.captured_at",
)


def faults_of(**changes):
    with pytest.raises(InvalidInput) as refused:
        check_update(msgspec.structs.replace(GOOD, **changes))
    assert refused.value.message == "The delivery update has faults."
    return refused.value.details


def test_a_good_update_passes_as_it_is():
    assert check_update(GOOD) == GOOD


def test_an_event_alone_is_enough():
    bare = DeliveryUpdate(package_id="pkg_1", event="delivery.arrived")

    assert check_update(bare) == bare


@pytest.mark.parametrize(("status", "event"), EVENT_FOR.items())
def test_a_bare_status_is_taken_for_its_event(status, event):
    assert check_update(msgspec.structs.replace(GOOD, event=status)).event == event


@pytest.mark.parametrize("event", STATUS_AFTER)
def test_every_event_in_full_is_taken(event):
    assert check_update(msgspec.structs.replace(GOOD, event=event)).event == event


@pytest.mark.parametrize(
    "event", ["", "created", "package.created", "delivery", "Completed", "delivery.*", "rx.queued"]
)
def test_any_other_event_is_refused(event):
    assert faults_of(event=event) == (EVENT,)


@pytest.mark.parametrize("amount", ["0", "0.01", "12.5", "12.500", "1E+3", "10000"])
def test_a_copay_in_range_passes(amount):
    passed = check_update(msgspec.structs.replace(GOOD, copay_collected=Decimal(amount)))

    assert passed.copay_collected == Decimal(amount)


@pytest.mark.parametrize(
    "amount", ["-0.01", "10000.01", "1E+99999", "0.001", "1E-99999", "NaN", "sNaN", "-Infinity"]
)
def test_a_copay_that_is_no_amount_of_money_is_refused(amount):
    assert faults_of(copay_collected=Decimal(amount)) == (COPAY,)


@pytest.mark.parametrize("method", COPAY_METHODS)
def test_the_ways_to_pay_pass(method):
    assert check_update(msgspec.structs.replace(GOOD, copay_method=method)).copay_method == method


def test_another_way_to_pay_is_refused():
    assert COPAY_METHODS == ("cash", "card", "check", "online", "on_account", "waived")
    assert faults_of(copay_method="bitcoin") == (METHOD,)
    assert faults_of(copay_method="") == (METHOD,)


@pytest.mark.parametrize("reason", FAILURE_REASONS)
def test_the_reasons_for_a_failure_pass(reason):
    passed = check_update(msgspec.structs.replace(GOOD, failure_reason=reason))

    assert passed.failure_reason == reason


def test_another_reason_is_refused_with_the_list():
    (fault,) = faults_of(failure_reason="the dog ate it")

    assert fault == Problem(
        f"failure_reason must be one of {', '.join(FAILURE_REASONS)}", field="failure_reason"
    )


@pytest.mark.parametrize(("field", "limit"), [("driver_id", 100), ("notes", 2000)])
def test_text_is_taken_up_to_its_limit_and_not_further(field, limit):
    too_long = Problem(f"{field} has more than {limit} characters", field=field)

    assert check_update(msgspec.structs.replace(GOOD, **{field: "x" * limit}))
    assert faults_of(**{field: "x" * (limit + 1)}) == (too_long,)


def test_a_reference_is_taken_up_to_255_characters():
    assert check_update(msgspec.structs.replace(GOOD, event_ref="r" * 255))
    assert faults_of(event_ref="r" * 256) == (
        Problem("event_ref has more than 255 characters", field="event_ref"),
    )


def test_a_moment_without_a_time_zone_is_refused():
    assert faults_of(occurred_at=AT.replace(tzinfo=None)) == (ZONE,)


def test_a_proof_without_a_time_zone_is_refused():
    proof = Proof(captured_at=AT.replace(tzinfo=None))

    assert faults_of(proof=proof) == (PROOF_ZONE,)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2101, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_a_moment_out_of_this_century_is_refused(moment):
    for changes in ({"occurred_at": moment}, {"proof": Proof(captured_at=moment)}):
        (fault,) = faults_of(**changes)

        assert fault.message == f"{fault.field} must lie between the years 2000 and 2100"
        assert fault.field in {"occurred_at", "proof.captured_at"}


def test_all_faults_are_reported_at_once():
    found = faults_of(
        event="x",
        copay_collected=Decimal(-1),
        copay_method="x",
        notes="x" * 2001,
        occurred_at=datetime(2026, 1, 1),  # noqa: DTZ001 - the fault that is looked for
    )

    assert found == (
        EVENT,
        COPAY,
        METHOD,
        Problem("notes has more than 2000 characters", field="notes"),
        ZONE,
    )


@given(
    st.builds(
        DeliveryUpdate,
        package_id=st.text(),
        event=st.text(),
        occurred_at=st.none() | st.datetimes() | st.datetimes(timezones=st.just(UTC)),
        driver_id=st.none() | st.text(),
        copay_collected=st.none() | st.decimals(),
        copay_method=st.none() | st.text(),
        failure_reason=st.none() | st.text(),
        notes=st.none() | st.text(),
        event_ref=st.none() | st.text(),
    )
)
def test_no_update_whatever_raises_anything_but_invalid_input(update):
    with pytest.raises(InvalidInput) as refused:  # an event of random text is none of ours
        check_update(update)

    assert refused.value.details[0] == EVENT


def test_a_completed_delivery_has_every_fact():
    assert facts_of(GOOD, "completed", AT) == {
        "driver_id": "drv_b12c",
        "delivered_at": AT,
        "proof": PROOF,
        "copay_collected": Decimal("12.50"),
        "copay_method": "card",
        "failure_reason": "other",
        "notes": "left with the neighbour",
    }


def test_a_completed_delivery_has_the_facts_that_were_not_reported_too():
    bare = DeliveryUpdate(package_id="pkg_1", event="delivery.completed")

    assert facts_of(bare, "completed", AT) == {
        "driver_id": None,
        "delivered_at": AT,
        "proof": None,
        "copay_collected": None,
        "copay_method": None,
    }


def test_any_other_step_has_the_time_and_the_driver_and_no_more():
    bare = DeliveryUpdate(package_id="pkg_1", event="delivery.arrived")

    assert facts_of(bare, "arrived", AT) == {"driver_id": None, "occurred_at": AT}


def test_any_other_step_has_the_facts_that_were_reported():
    update = msgspec.structs.replace(GOOD, event="delivery.attempted")

    assert set(facts_of(update, "attempted", AT)) == {
        "driver_id",
        "occurred_at",
        "proof",
        "copay_collected",
        "copay_method",
        "failure_reason",
        "notes",
    }


def test_money_and_moments_go_out_as_the_contract_writes_them():
    toronto = AT.astimezone(timezone(timedelta(hours=-4))).replace(microsecond=987_654)
    update = msgspec.structs.replace(GOOD, proof=Proof(captured_at=toronto))

    written = encode(facts_of(update, "completed", toronto))

    assert b'"delivered_at":"2026-04-19T18:41:57Z"' in written
    assert b'"captured_at":"2026-04-19T18:41:57Z"' in written
    assert b'"copay_collected":12.50' in written


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("photo_url", 2000),
        ("signature_url", 2000),
        ("signer_name", 200),
        ("signer_relationship", 100),
        ("id_checked", 100),
        ("left_at", 200),
    ],
)
def test_what_a_proof_says_is_bounded(name, most):
    start = "https://x/" if name.endswith("_url") else ""
    proof = msgspec.structs.replace(PROOF, **{name: start.ljust(most, "x")})
    assert check_update(msgspec.structs.replace(GOOD, proof=proof)).proof == proof

    longer = msgspec.structs.replace(PROOF, **{name: start.ljust(most + 1, "x")})
    text = f"proof.{name} has more than {most} characters"
    assert faults_of(proof=longer) == (Problem(text, field=f"proof.{name}"),)


@pytest.mark.parametrize("name", ["photo_url", "signature_url"])
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript://example.com/%0aalert(1)",
        "data:text/html,x",
        "http://example.com/p.jpg",
        "//example.com/p.jpg",
        "p.jpg",
        "https://",
        "https:///p.jpg",
        "https://user@example.com/p.jpg",
        "https://example.com\\@evil.example/",
        "https://example.com/p q.jpg",
        "",
    ],
)
def test_a_proof_url_is_an_https_url(name, url):
    proof = msgspec.structs.replace(PROOF, **{name: url})
    text = f"proof.{name} must be an https:// URL"
    assert faults_of(proof=proof) == (Problem(text, field=f"proof.{name}"),)


@pytest.mark.parametrize("url", ["https://x.example/p?a=1&b=<2>#c", "HTTPS://x.example"])
def test_an_https_proof_url_is_kept(url):
    proof = msgspec.structs.replace(PROOF, photo_url=url)
    assert check_update(msgspec.structs.replace(GOOD, proof=proof)).proof == proof


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\u202e", "\u2066"])
@pytest.mark.parametrize("name", ["driver_id", "notes", "event_ref"])
def test_control_and_direction_characters_of_an_update_are_refused(name, character):
    refused = Problem(f"{name} contains control characters", field=name)
    assert faults_of(**{name: f"a{character}b"}) == (refused,)


def test_notes_may_have_several_lines_and_names_may_not():
    update = msgspec.structs.replace(GOOD, notes="back door\nring twice")
    assert check_update(update).notes == "back door\nring twice"
    proof = msgspec.structs.replace(PROOF, signer_name="Ana\nSilva")
    text = "proof.signer_name contains control characters"
    assert faults_of(proof=proof) == (Problem(text, field="proof.signer_name"),)


@pytest.mark.parametrize(("name", "most"), [("lat", 90), ("lng", 180)])
def test_a_place_is_on_the_globe(name, most):
    for degrees in (most, -most, 0.0):
        proof = msgspec.structs.replace(PROOF, **{name: degrees})
        assert check_update(msgspec.structs.replace(GOOD, proof=proof)).proof == proof
    text = f"proof.{name} must be between -{most} and {most} degrees"
    for degrees in (most + 0.001, -most - 0.001):
        nowhere = msgspec.structs.replace(PROOF, **{name: degrees})
        assert faults_of(proof=nowhere) == (Problem(text, field=f"proof.{name}"),)
