"""The evening on the command line."""

import json

import pytest
from click.testing import CliRunner

from gateway.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    config = tmp_path / "gateway.toml"
    config.write_text("[plugins.json_api]\n[plugins.reports]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(*words, **more):
        return CliRunner().invoke(main, ["reports", *words], **more)

    return run


def test_a_day_without_packages_adds_up_to_nothing_and_is_closed(run):
    shown = run("day", "--day", "2026-11-01", "--json")
    closed = run("day", "--day", "2026-11-01", "--close")
    again = run("day", "--day", "2026-11-01", "--close")

    assert json.loads(shown.stdout)["money"]["collected"] == 0
    assert closed.exit_code == 0, closed.stderr
    assert "closed by" in closed.stdout
    assert again.exit_code == 1
    assert "closed already" in again.stderr


def test_a_list_of_numbers_is_pasted_and_written_as_a_file(run, tmp_path):
    path = tmp_path / "log.csv"

    done = run(
        "signatures", "--list", "-", "--reveal", "--csv", str(path), input="RX-1; RX-2\nRX-1"
    )

    assert done.exit_code == 0, done.stderr
    assert [line.partition(",")[0] for line in path.read_text("utf-8-sig").splitlines()] == [
        "rx_number",
        "RX-1",
        "RX-2",
    ]


@pytest.mark.parametrize("words", [("signatures", "RX-1"), ("manifest",)])
def test_what_names_patients_asks_for_reveal(run, words):
    refused = run(*words)

    assert refused.exit_code == 1
    assert "--reveal" in refused.stderr


def test_returns_are_listed(run):
    assert run("returns", "--within-days", "5").stdout == "Nothing to show.\n"
