"""``gateway init``."""

import json

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.installed_plugins.discovery import default_configuration


@pytest.fixture
def init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        return CliRunner().invoke(main, ["init", *words], catch_exceptions=False)

    return run


def test_it_writes_the_annotated_defaults_and_says_what_comes_next(init, tmp_path):
    result = init()

    written = tmp_path / "gateway.toml"
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"Wrote {written}\n"
        "Look through it, then:\n"
        "  gateway check\n"
        '  gateway keys create --name "my first key"\n'
        "  gateway serve\n"
    )
    assert written.read_text(encoding="utf-8") == default_configuration()


def test_a_folder_that_is_not_there_is_made(init, tmp_path):
    result = init("new shop/gateway")

    assert result.exit_code == 0
    assert (tmp_path / "new shop" / "gateway" / "gateway.toml").is_file()
    assert "  cd 'new shop/gateway'\n" in result.stdout


def test_a_file_that_is_there_is_never_overwritten(init, tmp_path):
    written = tmp_path / "gateway.toml"
    written.write_text("# mine", encoding="utf-8")

    result = init()

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"gateway: {written} exists already and stays as it is: edit it, or choose another "
        "folder.\n"
    )
    assert written.read_text(encoding="utf-8") == "# mine"


def test_with_json_only_the_path_is_on_stdout(init, tmp_path):
    result = init("--json")

    assert json.loads(result.stdout) == {"file": str(tmp_path / "gateway.toml")}
    assert "gateway check\n" in result.stderr


def test_the_file_can_be_given_another_name(init, tmp_path):
    result = init("--config", "north.toml")

    assert result.exit_code == 0
    assert (tmp_path / "north.toml").read_text(encoding="utf-8") == default_configuration()
    assert "  gateway check --config north.toml\n" in result.stdout


def test_a_folder_and_a_file_name_together_are_wrong_usage(init):
    result = init("shop", "--config", "north.toml")

    assert result.exit_code == 2
    assert "Error: Name a DIR or a --config file, not both.\n" in result.stderr


def test_a_file_in_the_place_of_the_folder_is_reported(init, tmp_path):
    (tmp_path / "shop").write_text("", encoding="utf-8")

    result = init("shop")

    assert result.exit_code == 1
    assert result.stderr.endswith("can't be written: its folder is a file.\n")


def test_a_folder_that_cannot_be_made_is_reported(init):
    result = init("x" * 300)

    assert result.exit_code == 1
    assert result.stderr.endswith("choose a folder you may write to.\n")


def test_what_it_writes_passes_the_check(init):
    init()

    result = CliRunner().invoke(main, ["check"], catch_exceptions=False)

    assert result.exit_code == 0, result.output
