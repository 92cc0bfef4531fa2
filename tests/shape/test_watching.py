"""Alert rules, dashboard and the page about them ask for numbers that /metrics really has."""

import asyncio
import json
import re

import pytest
import yaml
from scraping import Scraped
from shape.tree import ROOT

from gateway.http.metrics_page import MetricsPage
from gateway.runtime import Gateway
from gateway.settings import parse_settings

PROMETHEUS = ROOT / "config" / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "config" / "grafana" / "dashboard.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "how-to" / "watch-it.md").read_text("utf-8")
# What stands in a query and is no metric: PromQL's own words.
FUNCTIONS = {
    "absent",
    "count",
    "delta",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "rate",
    "sum",
    "and",
    "by",
    "on",
    "or",
    "vector",
}
# Prometheus' own.
ADDED = {"job", "instance", "le", "process"}


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """The families that a gateway's page has, with the labels of each."""
    folder = tmp_path_factory.mktemp("watched")

    async def gathered():
        toml = (
            '[plugins.csv]\nfolder = "incoming"\n'  # because it has a check that a person handles
        )
        settings = parse_settings(toml, source=None, directory=folder, environ={})
        async with Gateway(settings) as gateway:
            text = (await MetricsPage(gateway).text()).decode()
            labels = {each.name: set(each.labels) for each in gateway.metrics.families()}
        return Scraped(text), labels

    return asyncio.run(gathered())


def metrics_of(query: str) -> set[str]:
    """Return the metrics that a query asks for."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on) \([^)]*\)", "", bare)
    words = set(re.findall(r"\b[a-z][a-z0-9_]*\b", bare))
    return words - FUNCTIONS - {"up", "e9"}


def labels_of(query: str) -> set[str]:
    """Return the labels that a query picks or groups by."""
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
    picked = re.findall(r"([a-z_]+)\s*=~?\s*\"", query)
    return {word.strip() for each in grouped for word in each.split(",") if word.strip()} | {
        *picked
    }


def queries() -> list[str]:
    return [rule["expr"] for rule in RULES] + [
        target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
    ]


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_and_labels_that_there_are(query, families):
    page, labels = families
    asked = metrics_of(query)

    assert asked or query.startswith("up{")
    assert asked - page.names() == set()
    known = {"state", "endpoint", "check"} | ADDED
    for name, of_family in labels.items():
        if any(each.startswith(name) for each in asked):
            known |= of_family
    assert labels_of(query) - known == set()


def test_a_query_is_taken_apart():
    query = (
        'sum by (endpoint, le) (rate(a_total{outcome="x",b=~"5.."}[5m])) / max(b_c) > 1 '
        "and on () (up == 1)"
    )

    assert metrics_of(query) == {"a_total", "b_c"}
    assert labels_of(query) == {"endpoint", "le", "outcome", "b"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert named <= labels_of(rule["expr"])


def test_prometheus_reads_the_rules_under_the_name_that_they_are_copied_to():
    settings = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    head = (PROMETHEUS / "alerts.yml").read_text("utf-8").splitlines()[0]

    assert settings["rule_files"] == ["rx-gateway-alerts.yml"]
    assert "/etc/prometheus/rx-gateway-alerts.yml" in head
    [scraped] = settings["scrape_configs"]
    assert scraped["job_name"] == "rx-gateway"  # as the rules call it


def test_no_two_panels_of_the_dashboard_stand_in_one_place():
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_the_page_lists_every_metric_of_ours_and_of_no_other(families):
    page, _ = families
    told = set(re.findall(r"^\| `(gateway_[a-z_]+)", PAGE, re.MULTILINE))
    suffix = re.compile(r"_(bucket|count|sum)$")
    there = {suffix.sub("", name) for name in page.names() if name.startswith("gateway_")}

    assert told == there


def test_the_page_lists_every_alert():
    assert set(re.findall(r"^\| `(Gateway\w+)`", PAGE, re.MULTILINE)) == {
        rule["alert"] for rule in RULES
    }
