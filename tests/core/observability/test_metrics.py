"""What is counted, and how the numbers are kept."""

import pytest

from gateway.errors import PluginError
from gateway.observability.metrics import Counter, Gauge, Histogram, Metrics


def rows(family) -> dict:
    return {labels: list(numbers) for labels, numbers in family.rows()}


def test_a_count_grows_for_each_set_of_labels_on_its_own():
    count = Counter("orders", "Orders.", ("source",))
    count.inc(("a",))
    count.inc(("b",), 5)
    count.inc(("a",), 2)

    assert rows(count) == {("a",): [3], ("b",): [5]}


def test_a_count_that_begins_at_zero_is_known_from_the_start():
    count = Counter("failures", "Failures.", ("job",))
    count.inc(("poll",), 0)

    assert rows(count) == {("poll",): [0]}


def test_past_a_thousand_sets_of_labels_what_is_new_counts_as_other():
    count = Counter("orders", "Orders.", ("source", "outcome"))
    for number in range(1500):
        count.inc((f"source_{number}", "created"))
    count.inc(("source_0", "created"))

    kept = rows(count)
    assert len(kept) == 1001
    assert kept["other", "other"] == [500]
    assert kept["source_0", "created"] == [2]


def test_each_of_many_endpoints_is_kept_apart():
    metrics = Metrics()
    for number in range(1500):
        metrics.attempted(f"dst_{number}", "delivered", 0.1)

    assert len(metrics.deliveries.rows()) == len(metrics.attempt_seconds.rows()) == 1500


def test_a_histogram_counts_up_to_each_bound_and_sums_up():
    histogram = Histogram("seconds", "Seconds.", ("route",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 1.0, 3.0):
        histogram.observe(("a",), value)

    # Within 0.1, within 1, more than that, and the sum.
    assert rows(histogram) == {("a",): [2, 2, 1, pytest.approx(4.65)]}


def test_past_a_thousand_sets_of_labels_a_histogram_puts_what_is_new_together():
    histogram = Histogram("seconds", "Seconds.", ("route",), (1.0,))
    for number in range(1002):
        histogram.observe((f"route_{number}",), 0.5)

    assert len(rows(histogram)) == 1001
    assert rows(histogram)["other",] == [2, 0, 1.0]


def test_a_gauge_is_empty_until_it_has_a_source():
    gauge = Gauge("in_flight", "In flight.", ("endpoint",))
    assert list(gauge.rows()) == []

    gauge.read = lambda: [(("dst_1",), 3)]
    assert rows(gauge) == {("dst_1",): [3]}


def test_orders_that_came_together_are_counted_by_outcome():
    metrics = Metrics()
    metrics.orders_taken("json_api", ["created", "rejected", "created"])
    metrics.orders_taken("json_api", ["duplicate"])
    metrics.orders_taken("csv", [])

    assert rows(metrics.orders) == {
        ("json_api", "created"): [2],
        ("json_api", "rejected"): [1],
        ("json_api", "duplicate"): [1],
    }


def test_updates_and_events_that_came_together_are_counted():
    metrics = Metrics()
    metrics.updates_taken(["applied", "late", "applied"])
    metrics.events_recorded(iter(["package.created", "package.created"]))

    assert rows(metrics.updates) == {("applied",): [2], ("late",): [1]}
    assert rows(metrics.events) == {("package.created",): [2]}


def test_an_attempt_counts_by_endpoint_and_outcome_with_what_it_took():
    metrics = Metrics()
    metrics.attempted("dst_1", "failed", 0.02)
    metrics.attempted("dst_1", "delivered", 20.0)

    assert rows(metrics.deliveries) == {("dst_1", "failed"): [1], ("dst_1", "delivered"): [1]}
    [numbers] = rows(metrics.attempt_seconds).values()
    assert numbers[1] == 1  # within 25 ms
    assert numbers[-2:] == [1, pytest.approx(20.02)]  # beyond 15 s, and the sum


def test_a_batcher_reports_how_large_its_batches_are():
    metrics = Metrics()
    observe = metrics.batches("intake")
    observe(1)
    observe(300)

    [(labels, numbers)] = metrics.batch_sizes.rows()
    assert labels == ("intake",)
    assert (numbers[0], numbers[-1], sum(numbers[:-1])) == (1, 301, 2)


def test_a_request_counts_by_method_route_and_status():
    metrics = Metrics()
    metrics.answered("GET", "/api/packages/{package_id}", 404, 0.001)

    assert rows(metrics.requests) == {("GET", "/api/packages/{package_id}", "404"): [1]}
    assert [labels for labels, _ in metrics.request_seconds.rows()] == [
        ("GET", "/api/packages/{package_id}")
    ]


def test_endpoints_that_are_gone_are_forgotten():
    metrics = Metrics()
    for endpoint in ("dst_1", "dst_2"):
        metrics.attempted(endpoint, "delivered", 0.1)
    metrics.orders_taken("json_api", ["created"])

    metrics.retain_endpoints({"dst_2"})

    assert rows(metrics.deliveries) == {("dst_2", "delivered"): [1]}
    assert list(rows(metrics.attempt_seconds)) == [("dst_2",)]
    assert rows(metrics.orders) == {("json_api", "created"): [1]}


def test_all_numbers_are_in_a_snapshot_by_family():
    metrics = Metrics()
    metrics.orders_taken("json_api", ["created"])
    snapshot = metrics.snapshot()

    assert set(snapshot) == {family.name for family in metrics.families()}
    assert snapshot["gateway_orders"] == [(("json_api", "created"), (1,))]


def test_two_gateways_count_each_for_itself():
    one, other = Metrics(), Metrics()
    one.orders_taken("json_api", ["created"])

    assert rows(other.orders) == {}


def test_a_plugins_counter_is_one_of_the_families_and_made_once():
    metrics = Metrics()
    metrics.counter("gateway_acme_files", "Files.", ("outcome",)).inc(("refused",))

    again = metrics.counter("gateway_acme_files", "Files.", ("outcome",))
    again.inc(("refused",))

    assert metrics.snapshot()["gateway_acme_files"] == [(("refused",), (2,))]


@pytest.mark.parametrize("name", ["acme_files", "gateway_acme", "gateway_job_failures", "x\ny"])
def test_a_plugin_can_not_take_a_name_that_is_not_its_own(name):
    with pytest.raises(PluginError, match="gateway_<plugin>_<what>"):
        Metrics().counter(name, "Files.")
