"""``gateway destinations add``: for the sink of any plugin, from its settings struct."""

import pytest

ERP = """
from typing import Annotated, Literal

import msgspec

from gateway.plugin import API_VERSION, Sink, hookimpl


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Erp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    token: str
    batch: Annotated[int, msgspec.Meta(ge=1)] = 1
    mode: Literal["push", "poll"] = "push"
    headers: dict[str, str] = {}


class Plugin:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def sinks(self):
        return [Sink("erp", Erp, self.deliver)]

    async def deliver(self, batch):
        return []
"""


@pytest.fixture(autouse=True)
def erp(install, config):
    install("erp", ERP)
    config.write_text(config.read_text() + "[plugins.erp]\n")


def settings_of(stock, destination_id):
    async def read(gateway):
        async with gateway.database.read() as connection:
            [found] = await gateway.destinations.of_sink(connection, "erp", after_id="", limit=9)
        assert found.id == destination_id
        return found.settings

    return stock.do(read)


def test_a_destination_is_added_with_the_settings_of_its_sink(read, stock, tmp_path):
    stock.order(site="main")
    (tmp_path / "token").write_text("t0ken\n")
    words = [
        *("destinations", "add", "--sink", "erp", "--name", "Depot", "--site", "main"),
        *("--events", "delivery.*, package.created", "--ordered"),
        *("url=https://erp.example.com", f"token=@{tmp_path / 'token'}", "batch=5"),
        "headers.X-Depot=7",
    ]
    added = read(*words)

    assert (added["name"], added["site"], added["ordered"]) == ("Depot", "main", True)
    assert added["events"] == ["delivery.*", "package.created"]
    assert [each["id"] for each in read("destinations", "list", "--sink", "erp")] == [added["id"]]
    assert [subject for _, subject, _ in stock.audited("destination.added")] == [added["id"]]
    assert settings_of(stock, added["id"]) == {
        "url": "https://erp.example.com",
        "token": "t0ken",
        "batch": 5,
        "mode": "push",
        "headers": {"X-Depot": "7"},
    }


def test_every_fault_of_the_settings_is_named_and_no_value_repeated(run):
    result = run(
        *("destinations", "add", "--sink", "erp"),
        *("urll=https://s3cret", "batch=0", "mode=pol", "token=s3cret"),
    )

    assert result.exit_code == 1
    assert "s3cret" not in result.stderr
    assert result.stderr.splitlines() == [
        "gateway: The sink erp doesn't take these settings.",
        "  [erp] urll: unknown key; did you mean url?",
        "  [erp] url: missing; expected text",
        "  [erp] batch: expected a whole number, at least 1",
        '  [erp] mode: expected one of "poll", "push"; did you mean "poll"?',
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sink", "epr"], "No enabled plugin brings a sink of this name; did you mean erp?"),
        (
            ["--sink", "erp", "--events", "delivery.completd"],
            "  --events: no event type matches it; did you mean delivery.completed?",
        ),
        (["--sink", "erp", "--site", "nowhere"], "There is no such site: use the code of one of"),
        (["--sink", "erp", "url"], "Write each setting as key=value, as in url="),
        (["--sink", "erp", "token=@/no/such/file"], "A file after @ can't be read (FileNotFound"),
    ],
)
def test_what_can_not_be_added_is_refused_with_a_remedy(run, words, message):
    result = run("destinations", "add", *words)

    assert result.exit_code == 1
    assert message in result.stderr


def test_a_dry_run_adds_nothing(run, read):
    words = ["destinations", "add", "--sink", "erp", "url=https://erp.example.com", "token=t"]

    assert run(*words, "--dry-run").stdout == ("These settings are accepted; nothing was added.\n")
    assert read("destinations", "list") == []
