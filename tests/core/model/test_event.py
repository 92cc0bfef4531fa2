"""Patterns: what can be subscribed to, and which events a subscription asks for."""

import pytest

from gateway.model.event import is_pattern, matches

OF_PACKAGES = ("package.created", "package.ready", "package.cancelled")
OF_DELIVERIES = (
    "delivery.assigned",
    "delivery.unassigned",
    "delivery.picked_up",
    "delivery.out_for_delivery",
    "delivery.arrived",
    "delivery.attempted",
    "delivery.rescheduled",
    "delivery.completed",
    "delivery.failed",
    "delivery.returning",
    "delivery.returned",
)
OF_PRESCRIPTIONS = ("rx.queued", "rx.completed", "rx.failed", "rx.excepted", "rx.resolved")
OF_ENDPOINTS = ("endpoint.disabled", "endpoint.recovered")
TEST = ("webhook.test",)
ALL = OF_PACKAGES + OF_DELIVERIES + OF_PRESCRIPTIONS + OF_ENDPOINTS + TEST


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (("*",), OF_PACKAGES + OF_DELIVERIES + OF_PRESCRIPTIONS),
        (("package.*",), OF_PACKAGES),
        (("delivery.*",), OF_DELIVERIES),
        (("rx.*",), OF_PRESCRIPTIONS),
        (("endpoint.*",), OF_ENDPOINTS),
        (("webhook.*",), TEST),
        (("webhook.test",), TEST),
        (("rx.completed",), ("rx.completed",)),
        (("delivery.return",), ()),
        (("deliver.*",), ()),
        (("delivery.completed.*",), ()),
        (("rx.completed", "rx.failed"), ("rx.completed", "rx.failed")),
        (("delivery.*", "rx.completed"), (*OF_DELIVERIES, "rx.completed")),
        (("*", "endpoint.*"), OF_PACKAGES + OF_DELIVERIES + OF_PRESCRIPTIONS + OF_ENDPOINTS),
        (("*", "endpoint.*", "webhook.test"), ALL),
        ((), ()),
    ],
)
def test_a_subscription_asks_for_exactly_these_events(patterns, wanted):
    assert tuple(each for each in ALL if matches(patterns, each)) == wanted


def test_a_star_takes_in_the_events_that_a_vendor_brings():
    assert matches(("*",), "acme.synced")
    assert matches(("acme.*",), "acme.orders.synced")
    assert not matches(("acme.*",), "acme")
    assert not matches(("acme.*",), "acmes.synced")


@pytest.mark.parametrize(
    "text",
    ["*", "delivery.*", "rx.completed", "delivery.picked_up", "acme.orders.*", "acme2.a_b", "acme"],
)
def test_what_can_be_subscribed_to_is_a_pattern(text):
    assert is_pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "**",
        "*.completed",
        "delivery.",
        "delivery*",
        "delivery.*.completed",
        ".completed",
        "Delivery.completed",
        "delivery.completed ",
        "delivery.completed\n",
        "delivery completed",
        "delivery..completed",
        "delivery-completed",
        "2delivery.completed",
        "*\n",
        "délivery.*",
    ],
)
def test_anything_else_is_no_pattern(text):
    assert not is_pattern(text)
