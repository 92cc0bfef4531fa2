"""``gateway check``."""

import json
import sys
from pathlib import Path

from click.testing import CliRunner
from core.cli.findings import problems
from core.cli.vendors import MOODY, PULSE

from gateway.cli import main
from gateway.version import __version__


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return every file of a folder with what it holds, and every folder in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


NO_LINKS = (
    "webhooks name them by photo_file alone, without a link: [gateway] public_url leads to this "
    "machine only"
)


def test_what_is_fine_is_said_line_by_line(run, config):
    data = config.parent / "data"
    key = data / "master.key"

    result = run("check")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"ok       settings: {config}",
        f"ok       plugins: json_api (rx-gateway {__version__})",
        f"ok       data_dir: {data} will be created, and can be",
        f"ok       database: {data / 'gateway.db'} will be created at the first start",
        "ok       redis: not configured; everything runs in one process",
        f"ok       files: {NO_LINKS}",
        f"ok       master key: {key} will be created at the first start: back it up",
    ]


def test_a_gateway_in_use_is_fine_too(run, config, stock):
    stock.order(site="main")
    data = config.parent / "data"

    assert run("check").stdout.splitlines()[2:] == [
        f"ok       data_dir: {data} can be written",
        "ok       database: sqlite, up to date, every page is whole",
        "ok       data files: only their owner can read them",
        "ok       redis: not configured; everything runs in one process",
        f"ok       files: {NO_LINKS}",
        f"ok       master key: {data / 'master.key'}",
        "ok       audit trail: empty",
    ]


def test_json_says_what_was_looked_at(run, config):
    found = json.loads(run("check", "--json").stdout)

    assert list(found) == ["ok", "checks", "problems"]
    assert found["ok"] is True
    assert found["checks"][0] == {"name": "settings", "ok": True, "detail": str(config)}
    assert [each["name"] for each in found["checks"]] == [
        "settings",
        "plugins",
        "data_dir",
        "database",
        "redis",
        "files",
        "master key",
    ]
    assert found["problems"] == []


def test_a_check_makes_nothing(run, config):
    before = contents(config.parent)

    run("check")

    assert contents(config.parent) == before


def test_a_check_changes_nothing(run, config, stock):
    stock.order(site="main")
    before = contents(config.parent)

    run("check")

    assert contents(config.parent) == before


def test_every_wrong_setting_is_reported_with_file_table_and_key(run, config):
    config.write_text('[gateway]\nport = "x"\nhots = "a"\n[delivery]\ntimeout_seconds = 0\n')
    result = run("check")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "problem  gateway.toml: [gateway] hots: unknown key; did you mean host?",
        "problem  gateway.toml: [gateway] port: expected a whole number, got text",
        (
            "problem  gateway.toml: [delivery] timeout_seconds: expected a number, above 0 and at "
            "most 120"
        ),
    ]
    assert result.stderr == "gateway: 3 problems found\n"


def test_with_json_a_problem_names_the_whole_path_of_the_file(run, config):
    config.write_text('[gateway]\nport = "x"\n')

    result = run("check", "--json")

    assert (result.exit_code, result.stderr) == (1, "gateway: 1 problem found\n")
    assert json.loads(result.stdout) == {
        "ok": False,
        "checks": [{"name": "settings", "ok": False, "detail": "1 problem"}],
        "problems": [
            {
                "file": str(config),
                "field": "[gateway] port",
                "message": "expected a whole number, got text",
            }
        ],
    }


def test_a_file_that_is_no_toml_is_reported_with_the_line(run, config):
    config.write_text("[gateway\n")

    [(field, _)] = problems(run("check", "--json"))

    assert field.startswith("line 1")


def test_a_file_that_is_not_there_is_reported(tmp_path):
    missing = tmp_path / "other.toml"

    result = CliRunner().invoke(main, ["check", "--config", str(missing)])

    assert result.exit_code == 1
    assert result.stdout == (
        f"problem  {missing} can't be read: no such file or directory; name another file with "
        "--config, or write one with gateway init\n"
    )


def test_without_a_file_the_built_in_defaults_are_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, ["check"])

    assert result.exit_code == 0
    assert result.stdout.startswith(
        "ok       settings: the built-in defaults; gateway init writes a gateway.toml\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_setting_of_a_plugin_is_reported(run, config, install):
    install("pulse", PULSE)
    config.write_text('[plugins.pulse]\nrat = 1\nhealthy = "no"\n')

    assert problems(run("check", "--json")) == [
        ("[plugins.pulse] rat", "unknown key; did you mean rate?"),
        ("[plugins.pulse] healthy", "expected true or false, got text"),
    ]


def test_a_broken_plugin_is_named_with_its_distribution_and_version(run, config, install):
    install("pulse", "import acme_nowhere", version="3.0.1")
    config.write_text("[plugins.pulse]\n[plugins.absent]\n")

    result = run("check")

    assert result.exit_code == 1
    assert [line for line in result.stdout.splitlines() if line.startswith("problem")] == [
        (
            "problem  gateway.toml: [plugins.pulse]: plugin pulse (acme-pulse 3.0.1): can't be "
            "imported: ModuleNotFoundError: No module named 'acme_nowhere'"
        ),
        (
            "problem  gateway.toml: [plugins.absent]: plugin absent (missing): no installed "
            "distribution brings a plugin absent; pip install it first"
        ),
    ]
    assert result.stderr == "gateway: 2 problems found\n"


def test_a_plugin_that_would_stop_the_start_is_reported(run, config, install):
    install("moody", MOODY)
    config.write_text("[plugins.moody]\n")

    assert problems(run("check", "--json")) == [
        (
            "[plugins]",
            (
                "plugin moody failed in jobs: no jobs today (RuntimeError at vendor_moody.py:15 "
                "in jobs)"
            ),
        ),
        (
            "[plugins.moody]",
            (
                "plugin moody failed in cli_commands: RuntimeError at vendor_moody.py:19 in "
                "cli_commands"
            ),
        ),
    ]


def test_a_healthy_plugin_is_asked_once_the_database_is_there(run, config, install, stock):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\n")
    asleep = run("check")
    stock.order()

    assert "pulse:" not in asleep.stdout
    assert run("check").stdout.splitlines()[-1] == "ok       pulse: 60 a minute"


def test_an_unhealthy_plugin_is_a_problem(run, config, install, stock):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\nhealthy = false\n")
    stock.order()

    assert problems(run("check", "--json")) == [("[plugins]", "health check pulse: 60 a minute")]


def test_a_plugin_that_cannot_be_opened_is_a_problem_like_any_other(run, config, install, stock):
    shut = "    @hookimpl\n    def lifespan(self):\n        raise RuntimeError('no key')\n"
    install("pulse", PULSE.replace("    async def check", f"{shut}\n    async def check"))
    stock.order(site="main")
    config.write_text("[plugins.pulse]\n")

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[plugins]"
    assert message.startswith("plugin pulse failed in lifespan")


TRACING = "[tracing]\nendpoint = 'http://127.0.0.1:4318/v1/traces'\n"


def test_where_traces_go_is_said(run, config):
    config.write_text(TRACING + config.read_text("utf-8"), "utf-8")

    assert "ok       tracing: to http://127.0.0.1:4318/v1/traces" in run("check").stdout


def test_tracing_without_opentelemetry_is_a_problem(run, config, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    config.write_text(TRACING + config.read_text("utf-8"), "utf-8")

    sentence = 'needs OpenTelemetry: pip install "rx-gateway[otel]", or leave the endpoint out'
    assert problems(run("check", "--json")) == [("[tracing] endpoint", sentence)]


def test_a_host_that_is_no_address_of_this_machine_is_a_problem(run, config):
    config.write_text(f'[gateway]\nhost = "127.0.0.l"\n{config.read_text()}')
    [(place, message)] = problems(run("check", "--json"))

    assert place == "[gateway] host"
    assert message.startswith("127.0.0.l can't be listened on: this machine has no such address")


def test_a_gateway_without_plugins_is_a_problem(run, config):
    config.write_text("[gateway]\n")
    [(place, message)] = problems(run("check", "--json"))

    assert (place, "nothing takes orders" in message) == ("[plugins]", True)


def test_a_writer_that_does_not_exist_is_a_problem_before_the_first_start(run, config):
    with config.open("a") as file:
        file.write('[plugins.rx_queue]\nwriter = "kroll"\n')
    [(place, message)] = problems(run("check", "--json"))

    assert place == "[plugins]"
    assert "writer must be one of agent, http, simulator" in message


def test_a_site_in_the_settings_that_does_not_exist_is_a_problem(run, config):
    with config.open("a") as file:
        file.write(
            '[plugins.csv]\nfolder = "in"\nfolder_site = "mian"\n'
            "[plugins.rx_queue.sites.nroth]\nmin_confidence = 0.9\n"
            "[plugins.rx_queue.sites.north]\nmin_confidence = 0.9\n"
        )
    found = problems(run("check", "--json"))

    there = "is not the code of one of [[sites]]; there are main, north"
    assert sorted(found) == [
        ("[plugins.csv] folder_site", f'"mian" {there}'),
        ("[plugins.rx_queue.sites.nroth]", f'"nroth" {there}'),
    ]


def test_a_public_address_says_how_long_links_to_files_open(run, config):
    config.write_text(
        config.read_text() + '\n[gateway]\npublic_url = "https://gateway.example.com"\n'
    )

    assert "ok       files: links in webhooks open for 7 days" in run("check").stdout
