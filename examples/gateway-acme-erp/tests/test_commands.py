"""``gateway acme-erp``, and what gateway.toml may say."""

import asyncio
import json

import pytest
from click.testing import CliRunner
from gateway_acme_erp.commands import commands

from gateway.plugin import DEFAULT_ACCOUNT, Destination, Session, new_id

SITES = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
"""


@pytest.fixture
def opened(harness, settings):
    """Open the gateway of this test's folder, as ``--config`` would say which."""
    return lambda _config=None: harness(settings + SITES).gateway


@pytest.fixture
def run(opened):
    """Run a command on that gateway; returns its result."""

    def run(*words):
        return CliRunner().invoke(
            commands(), words, obj=Session(opened), catch_exceptions=False, prog_name="acme-erp"
        )

    return run


def read(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_store_is_connected_listed_and_disconnected(run):
    added = read(
        run("connect", "S-014", "--events", "delivery.*, package.created", "--site=main", "--json")
    )

    assert added == {
        "id": added["id"],
        "store": "S-014",
        "site": "main",
        "events": ["delivery.*", "package.created"],
        "state": "active",
        "last_success_at": None,
    }
    assert read(run("list", "--json")) == [added]
    gone = read(run("disconnect", added["id"], "--json"))
    assert gone == {"id": added["id"], "disconnected": True}
    assert read(run("list", "--json")) == []


def test_a_store_is_connected_once(run):
    run("connect", "S-014")

    again = run("connect", "S-014")

    assert again.exit_code == 1
    assert again.stderr == ("gateway: This store is connected already; disconnect it first.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("connect", "S-014", "--site", "moon"), "There is no such site in gateway.toml."),
        (
            ("connect", "S-014", "--events", "Delivery!"),
            "Name events such as delivery.*,package.cancelled or * for all.",
        ),
        (
            ("disconnect", "dst_1"),
            "No such store is connected; gateway acme-erp list shows them.",
        ),
    ],
)
def test_a_slip_is_reported_in_one_line(run, words, sentence):
    result = run(*words)

    assert result.exit_code == 1
    assert result.stderr == f"gateway: {sentence}\n"


def test_a_destination_of_another_kind_is_left_alone(run, opened):
    async def add():
        async with opened() as gateway, gateway.database.begin() as connection:
            now = gateway.clock.now()
            other = Destination(
                id=new_id("dst", now),
                account_id=DEFAULT_ACCOUNT,
                mode="live",
                sink="fax",
                name="",
                events=("*",),
                settings={},
                created_at=now,
            )
            await gateway.destinations.add(connection, other)
            return other.id

    result = run("disconnect", asyncio.run(add()))

    assert result.exit_code == 1
    assert result.stderr.startswith("gateway: No such store is connected;")


@pytest.mark.parametrize(
    "url",
    [
        "erp.example.com",
        "ftp://erp.example.com",
        "http://[",
        "https://",
        "https://erp.example.com?x",
    ],
)
def test_an_address_that_is_none_is_named_by_its_key(harness, settings, erp, url):
    wrong = harness(settings.replace(erp.url, url))

    [plugin] = [each for each in wrong.gateway.plugins if each.name == "acme_erp"]
    assert plugin.problem == (
        "the configuration: [plugins.acme_erp] bridge_url: "
        "expected an address such as https://erp.example.com"
    )
