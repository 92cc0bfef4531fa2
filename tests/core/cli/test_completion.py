"""``gateway completion``, and what the Tab key then finds."""

import json

import pytest
from click.shell_completion import ShellComplete
from core.cli.vendors import PULSE

from gateway.cli import main


@pytest.fixture
def complete(config, monkeypatch):
    """Ask for the completions of the last word, as the shell's script does."""
    monkeypatch.chdir(config.parent)

    def complete(*words):
        *before, last = words
        asked = ShellComplete(main, {}, "gateway", "_GATEWAY_COMPLETE")
        return [item.value for item in asked.get_completions(before, last)]

    return complete


@pytest.mark.parametrize(
    ("shell", "hook"),
    [
        ("bash", "complete -o nosort -F _gateway_completion gateway"),
        ("zsh", "compdef _gateway_completion gateway"),
        ("fish", "complete --no-files --command gateway"),
    ],
)
def test_each_shell_gets_its_script(run, shell, hook):
    result = run("completion", shell)

    assert result.exit_code == 0
    assert hook in result.stdout
    assert f"_GATEWAY_COMPLETE={shell}_complete" in result.stdout


def test_the_script_is_to_be_had_as_json(run):
    plain = run("completion", "fish").stdout

    found = json.loads(run("completion", "fish", "--json").stdout)

    assert found == {"shell": "fish", "script": plain.removesuffix("\n")}


def test_the_help_says_how_to_install_it(run):
    shown = run("completion", "--help").stdout

    assert '          eval "$(gateway completion bash)"\n' in shown
    assert "gateway completion fish > ~/.config/fish/completions/gateway.fish\n" in shown


def test_another_shell_is_wrong_usage(run):
    assert run("completion", "csh").exit_code == 2


def test_the_core_s_commands_are_completed(complete):
    assert complete("de") == ["dev", "demo", "destinations", "deliveries"]
    assert complete("deliveries", "re") == ["recover", "resend"]
    assert complete("deliveries", "list", "--state", "") == ["pending", "delivered", "exhausted"]
    assert complete("keys", "create", "--te") == ["--test"]


def test_the_commands_of_enabled_plugins_are_completed(complete, config, install):
    install("pulse", PULSE)
    without = complete("pu")
    config.write_text("[plugins.pulse]\n")

    assert without == []
    assert complete("pu") == ["pulse"]
    assert complete("pulse", "--c") == ["--config"]


def test_a_broken_configuration_says_nothing_while_completing(complete, config, capfd):
    config.write_text("[gateway\n")

    assert complete("de") == ["dev", "demo", "destinations", "deliveries"]
    assert complete("endpoi") == []
    assert capfd.readouterr() == ("", "")
