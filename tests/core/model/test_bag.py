"""A bag: several prescriptions in one order, whose number and copay they make."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from gateway.errors import Conflict, InvalidInput, Problem
from gateway.model.bag import Bag, Prescription, RxNumber, bag_of, references_of, without
from gateway.model.order import Order, check

A = Prescription(rx_number="RX-1", fill_number=2, copay_amount=Decimal("4.50"))
B = Prescription(rx_number="RX-2", copay_amount=Decimal(8), refrigerated=True)
C = Prescription(rx_number="RX-3", filled_on=date(2026, 4, 19), partial=True, controlled=True)


def bag(*prescriptions, **changes):
    return Order(
        patient_name="Maria Rodriguez",
        patient_address="123 Main St, Miami, FL 33178",
        prescriptions=prescriptions,
        **changes,
    )


def errors(order):
    return check(order, "US").errors


def test_the_first_number_and_the_sum_of_the_copays_are_the_orders():
    review = check(bag(A, B, C), "US")

    assert review.errors == ()
    assert review.order.rx_number == "RX-1"
    assert review.order.copay_amount == Decimal("12.50")
    assert [each.copay_amount for each in review.order.prescriptions] == [
        Decimal("4.50"),
        Decimal("8.00"),
        None,
    ]
    assert str(review.order.prescriptions[1].copay_amount) == "8.00"


def test_numbers_lose_the_space_around_them():
    review = check(bag(Prescription(rx_number=" RX-1 ")), "US")

    assert review.order.rx_number == "RX-1"
    assert review.order.prescriptions == (Prescription(rx_number="RX-1"),)


def test_a_number_and_an_amount_that_agree_are_no_fault():
    review = check(bag(A, B, rx_number="rx-1", copay_amount=Decimal("12.5")), "US")

    assert review.errors == ()
    assert (review.order.rx_number, str(review.order.copay_amount)) == ("RX-1", "12.50")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"rx_number": "RX-2"},
            Problem(
                "rx_number must be that of the first of prescriptions, or left out",
                field="rx_number",
            ),
        ),
        (
            {"copay_amount": Decimal("12.49")},
            Problem(
                "copay_amount must be the sum of the copays in prescriptions, or left out",
                field="copay_amount",
            ),
        ),
    ],
)
def test_a_number_or_an_amount_that_disagrees_is_refused(changes, problem):
    assert errors(bag(A, B, **changes)) == (problem,)


def test_an_amount_beside_prescriptions_without_one_is_the_whole_bags():
    plain = [Prescription(rx_number="RX-1"), Prescription(rx_number="RX-2")]

    assert check(bag(*plain, copay_amount=Decimal(5)), "US").order.copay_amount == Decimal("5.00")
    assert check(bag(*plain), "US").order.copay_amount is None


def test_one_number_may_have_several_fills_and_each_of_them_once():
    original = Prescription(rx_number="RX-1", fill_number=0)
    refill = Prescription(rx_number="RX-1", fill_number=1)
    twice = Problem(
        "the same rx_number and fill_number are listed twice", field="prescriptions[2].rx_number"
    )

    assert errors(bag(original, refill)) == ()
    spelt = msgspec.structs.replace(original, rx_number=" rx-1")
    assert errors(bag(original, refill, spelt)) == (twice,)


@pytest.mark.parametrize(
    ("faulty", "problem"),
    [
        ({"rx_number": " "}, ("rx_number is required", "rx_number")),
        ({"rx_number": "7" * 101}, ("rx_number has more than 100 characters", "rx_number")),
        ({"rx_number": "RX\n1"}, ("rx_number contains control characters", "rx_number")),
        ({"fill_number": -1}, ("fill_number must be between 0 and 999", "fill_number")),
        ({"fill_number": 1000}, ("fill_number must be between 0 and 999", "fill_number")),
        (
            {"copay_amount": Decimal("0.001")},
            ("prescriptions[1].copay_amount must have at most two decimal places", "copay_amount"),
        ),
        (
            {"copay_amount": Decimal("NaN")},
            ("prescriptions[1].copay_amount must be between 0 and 10000", "copay_amount"),
        ),
    ],
)
def test_a_fault_names_the_prescription(faulty, problem):
    message, field = problem
    order = bag(A, msgspec.structs.replace(B, **faulty))

    assert errors(order) == (Problem(message, field=f"prescriptions[1].{field}"),)


def test_a_bag_has_at_most_fifty_prescriptions_and_ten_thousand_dollars():
    many = [Prescription(rx_number=f"RX-{number}") for number in range(51)]
    dear = [
        Prescription(rx_number=f"RX-{number}", copay_amount=Decimal(5001)) for number in range(2)
    ]

    assert errors(bag(*many[:50])) == ()
    assert errors(bag(*many)) == (
        Problem("an order has at most 50 prescriptions", field="prescriptions"),
    )
    assert errors(bag(*dear)) == (
        Problem("the copays of prescriptions add up to more than 10000", field="prescriptions"),
    )


def test_an_order_without_prescriptions_is_stored_as_it_always_was():
    assert b"prescriptions" not in msgspec.json.encode(bag())


def test_events_say_numbers_and_fill_numbers_and_nothing_else():
    assert references_of([A, B]) == [
        {"rx_number": "RX-1", "fill_number": 2},
        {"rx_number": "RX-2", "fill_number": None},
    ]


def test_the_bag_without_one_has_the_others_and_their_money():
    left, gone = without(Bag((A, B, C), "RX-1", Decimal("12.50")), [RxNumber("rx-1")])

    assert left == Bag((B, C), "RX-2", Decimal("8.00"))
    assert gone == (A,)


def test_a_bag_left_without_a_copay_has_none():
    left, _ = without(Bag((A, C), "RX-1", Decimal("4.50")), [RxNumber("RX-1", 2)])

    assert left == Bag((C,), "RX-3", None)


def test_where_copays_are_not_named_one_by_one_the_rest_has_to_be_said():
    plain = Bag((C, msgspec.structs.replace(C, rx_number="RX-4")), "RX-3", Decimal("9.00"))

    with pytest.raises(InvalidInput) as refused:
        without(plain, [RxNumber("RX-4")])
    assert refused.value.details == (
        Problem(
            "the bag's copay isn't named for each prescription: send the copay_amount that is left",
            field="copay_amount",
        ),
    )
    left, _ = without(plain, [RxNumber("RX-4")], Decimal("3.00"))
    assert left == Bag((C,), "RX-3", Decimal("3.00"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([RxNumber("RX-9")], "the bag has no such prescription"),
        ([RxNumber("RX-1", 7)], "the bag has no such prescription"),
        (
            [RxNumber("RX-1")],
            "the bag has several fills of this number: name the fill_number",
        ),
    ],
)
def test_what_is_not_one_prescription_of_the_bag_is_not_cancelled(wanted, message):
    refill = msgspec.structs.replace(A, fill_number=3)

    with pytest.raises(InvalidInput) as refused:
        without(Bag((A, refill), "RX-1", Decimal("9.00")), wanted)

    assert refused.value.details == (Problem(message, field="cancel_prescriptions[0].rx_number"),)


def test_an_empty_bag_is_no_bag():
    with pytest.raises(Conflict) as refused:
        without(bag_of((), "RX-1", Decimal("9.00")), [RxNumber("RX-1")])

    assert refused.value.message == (
        "Nothing would be left in the bag: cancel the package instead."
    )


def test_an_amount_that_is_not_what_the_others_cost_is_refused():
    with pytest.raises(InvalidInput) as refused:
        without(Bag((A, B), "RX-1", Decimal("12.50")), [RxNumber("RX-1")], Decimal(9))

    assert refused.value.details == (
        Problem(
            "copay_amount must be the sum of the copays that are left, or left out",
            field="copay_amount",
        ),
    )
