"""``gateway`` itself: its help, its names, its exit codes, what goes to which stream."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from core.cli.vendors import PULSE
from sqlalchemy.exc import OperationalError

from gateway.cli import main
from gateway.cli.help_rows import CORE_ROWS
from gateway.cli.opening import open_gateway, read_settings
from gateway.errors import StorageError
from gateway.version import __version__, build_id

BROKEN = '[gateway]\nport = "x"\n'
REASON = "gateway.toml has 1 problem: [gateway] port: expected a whole number, got text\n"


def gateway(*words: str, config: Path) -> tuple[int, str, str]:
    """Run the real thing; returns its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words, "--config", str(config)],
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def sections(text: str) -> dict[str, list[str]]:
    """Return the commands that --help shows, by section."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith((" ", "Usage")):
            names = found.setdefault(line[:-1], [])
        elif line.startswith("  ") and found:
            names.append(line.split()[0])
    return found


def every_command(group, context, *words):
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        inner = click.Context(each, info_name=name, parent=context)
        if isinstance(each, click.Group):
            yield from every_command(each, inner, *words, name)
        else:
            yield (*words, name), each


def test_help_groups_the_commands(run, config, install):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\n")

    found = sections(run("--help").stdout)

    assert found.pop("Options") == ["--config", "--version", "-h,"]
    assert {name for names in found.values() for name in names} >= {
        "init",
        "check",
        "migrate",
        "serve",
        "keys",
        "people",
        "events",
        "deliveries",
        "plugins",
        "completion",
        "pulse",
    }
    assert found["Set up"] == ["init", "check", "status", "settings", "migrate", "tls"]
    assert found["From plugins"] == ["pulse"]


def test_help_has_no_section_for_plugins_that_bring_nothing(run):
    assert "From plugins" not in sections(run("--help").stdout)


def test_the_core_s_rows_of_the_help_agree_with_its_commands():
    with main.make_context("gateway", ["check"]) as context:
        found = {name: main.get_command(context, name) for name in CORE_ROWS}

    assert {name: each.get_short_help_str(1000) for name, each in found.items()} == CORE_ROWS
    assert not [name for name, each in found.items() if each.hidden]


def test_the_help_shows_what_a_plugin_declares_without_importing_it(run, config, install):
    install("unseen", "raise RuntimeError('imported')")
    package = config.parent / "site-unseen" / "vendor_unseen"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "gateway.commands.toml").write_text('unseen = "What is never imported."\n')
    config.write_text("[plugins.unseen]\n")

    result = run("--help")

    assert result.stdout.splitlines()[-1].split() == ["unseen", "What", "is", "never", "imported."]
    assert result.stderr == ""


@pytest.mark.parametrize("rows", ["= nothing", "unseen = 3", '[unseen]\nhelp = "A table."'])
def test_rows_that_cannot_be_read_are_as_if_none_were_declared(run, config, install, rows):
    install("pulse", PULSE)
    install("unseen", PULSE.replace("pulse", "unseen"))
    package = config.parent / "site-unseen" / "vendor_unseen"
    package.mkdir()
    (package / "__init__.py").write_text(PULSE.replace("pulse", "unseen"))
    (package / "gateway.commands.toml").write_text(rows)
    config.write_text("[plugins.unseen]\n")

    assert sections(run("--help").stdout)["From plugins"] == ["unseen"]


def test_every_command_takes_a_configuration_and_json(config):
    with main.make_context("gateway", ["--config", str(config), "check"]) as context:
        found = dict(every_command(main, context))

    assert ("keys", "create") in found
    for words, each in found.items():
        options = {option for param in each.params for option in param.opts}
        assert {"--config", "--json"} <= options, words
        assert each.get_short_help_str(), words


def test_a_broken_configuration_leaves_the_help(run, config):
    config.write_text(BROKEN)

    result = run("--help")

    assert result.exit_code == 0
    assert "check" in sections(result.stdout)["Set up"]
    assert result.stderr == "gateway: " + REASON


def test_a_broken_configuration_leaves_init_and_check(config):
    config.write_text(BROKEN)
    fresh = config.parent / "fresh"

    made = CliRunner().invoke(main, ["init", str(fresh)])
    checked = gateway("check", config=config)

    assert (made.exit_code, (fresh / "gateway.toml").is_file()) == (0, True)
    assert checked == (
        1,
        "problem  gateway.toml: [gateway] port: expected a whole number, got text\n",
        "gateway: 1 problem found\n",
    )


def test_a_broken_configuration_stops_every_other_command(config):
    config.write_text(BROKEN)

    assert gateway("keys", "list", "--json", config=config) == (1, "", "gateway: " + REASON)


def test_a_command_that_a_plugin_would_bring_fails_with_the_reason(run, config):
    config.write_text(BROKEN)

    result = run("endpoints", "list")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "gateway: " + REASON)


@pytest.mark.parametrize("text", ["", BROKEN])
def test_a_mistyped_command_is_wrong_usage_with_the_nearest_name(run, config, text):
    config.write_text(text)

    result = run("chekc")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: No such command 'chekc'. Did you mean 'check'?\n")


def test_a_name_like_no_other_is_wrong_usage(run):
    result = run("xyzzy")

    assert result.exit_code == 2
    assert result.stderr.endswith("Error: No such command 'xyzzy'. gateway --help lists them.\n")


def test_the_names_of_plugins_are_suggested_too(run, config, install):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\n")

    assert "Did you mean 'pulse'?" in run("puls").stderr


def test_a_group_needs_one_of_its_commands(run):
    mistyped, missing = run("keys", "lst"), CliRunner().invoke(main, ["keys"])

    assert (mistyped.exit_code, mistyped.stdout) == (2, "")
    assert "No such command 'lst'" in mistyped.stderr
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "keys [OPTIONS] COMMAND [ARGS]..." in missing.stderr


def test_the_missing_command_of_a_broken_plugin_is_explained(run, config, install):
    install("pulse", "import acme_nowhere")
    config.write_text("[plugins.pulse]\n")

    result = run("pulse")

    assert result.exit_code == 2
    assert result.stderr.startswith(
        "gateway: plugin pulse (acme-pulse 2.1): can't be imported: ModuleNotFoundError: "
        "No module named 'acme_nowhere'\n"
    )
    assert "No such command 'pulse'" in result.stderr


def test_a_plugin_s_command_runs_like_the_core_s(run, read, config, install):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\n")

    assert run("pulse").stdout == "pulse    60\naccount  gateway.toml\n"
    assert read("pulse") == {"pulse": 60, "account": "gateway.toml"}


def test_a_plugin_s_command_never_takes_the_place_of_the_core_s(run, config, install):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\n")

    run("migrate")

    assert "Not the core's." not in run("--help").stdout
    assert run("keys", "list").stdout == "Nothing to show.\n"


def test_the_configuration_may_be_named_before_the_command(config, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)

    result = CliRunner().invoke(main, [f"--config={config}", "migrate", "--json"])

    assert result.exit_code == 0
    assert list(other.iterdir()) == []
    assert (config.parent / "data" / "gateway.db").is_file()


def test_a_configuration_in_this_folder_is_found(config, monkeypatch):
    monkeypatch.chdir(config.parent)

    assert list(read_settings(None).plugins) == ["json_api"]


def test_without_a_configuration_the_defaults_hold(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    settings = read_settings(None)

    assert settings.source is None
    assert settings.gateway.data_dir == tmp_path / "data"
    assert "json_api" in settings.plugins


def test_the_version_is_reported():
    done = CliRunner().invoke(main, ["--version"])

    assert (done.exit_code, done.stdout) == (
        0,
        f"gateway, version {__version__}, build {build_id()}\n",
    )


def test_only_json_is_on_stdout(config):
    code, out, err = gateway("keys", "create", "--name", "store", "--json", config=config)

    assert code == 0
    assert json.loads(out)["name"] == "store"
    assert err == (
        "Keep the key: it is not shown again. Callers send it in the X-API-Key header.\n"
    )


def test_the_log_goes_to_stderr(config):
    gateway("migrate", config=config)
    config.write_text("[plugins.absent]\n")

    code, out, err = gateway("keys", "list", "--json", config=config)

    assert (code, out) == (0, "[]\n")
    assert err.startswith("plugin absent (missing")


def test_wrong_usage_is_reported_on_stderr(config):
    code, out, err = gateway("keys", "create", config=config)

    assert (code, out) == (2, "")
    assert "Error: Missing option '--name'." in err


async def test_a_database_that_fails_in_use_is_one_line(config):
    async def use():
        async with open_gateway(config):
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    with pytest.raises(StorageError, match="failed while in use: "):
        await use()


@pytest.mark.parametrize("words", [["--help"], ["events", "--help"]])
def test_help_loads_neither_the_database_nor_http_nor_a_plugin(words, config):
    config.write_text("[plugins.csv]\n[plugins.webhooks]\n")
    program = (
        "import sys; from gateway.cli import main; "
        f"main(['--config', {str(config)!r}, *{words}], standalone_mode=False); "
        "print(sorted({'sqlalchemy', 'litestar', 'pluggy', 'gateway_csv'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )

    assert done.stdout.endswith("[]\n")
