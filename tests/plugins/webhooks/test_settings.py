"""The plugin's table in gateway.toml, and what is kept of an endpoint."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings

AT = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)


def endpoint(**fields):
    return EndpointSettings(url="https://example.com/", format="autorx", secret="old", **fields)


@pytest.mark.parametrize(
    ("fields", "after_seconds", "secrets"),
    [
        ({}, 0, ("old", None)),
        ({"next_secret": "new", "rotation_ends_at": AT}, -1, ("old", "new")),
        ({"next_secret": "new", "rotation_ends_at": AT}, 0, ("new", None)),
        ({"next_secret": "new", "rotation_ends_at": AT}, 1, ("new", None)),
        ({"next_secret": "new"}, 1, ("old", "new")),
    ],
)
def test_the_secret_in_use_and_the_one_that_rides_along_follow_the_time(
    fields, after_seconds, secrets
):
    now = AT + timedelta(seconds=after_seconds)
    assert endpoint(**fields).secrets_at(now) == secrets


def test_an_endpoint_without_headers_or_a_rotation_is_read_from_the_least_that_is_kept():
    kept = {"url": "https://example.com/", "format": "autorx", "secret": "old"}
    assert msgspec.convert(kept, EndpointSettings) == endpoint()


def test_autorx_is_signed_in_hex_unless_a_setting_says_otherwise():
    assert WebhooksSettings().autorx_signature == "hex"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('autorx_signature = "octal"', "[plugins.webhooks] autorx_signature"),
        ("autorx = 1", "[plugins.webhooks] autorx"),
    ],
)
async def test_a_wrong_setting_is_named_and_keeps_the_plugin_out(harness, table, expected):
    gateway = harness(f"[plugins.webhooks]\n{table}\n").gateway
    [plugin] = [each for each in gateway.plugins if each.name == "webhooks"]
    assert expected in plugin.problem
    assert "octal" not in plugin.problem
