"""``gateway csv import``: the same importer from the command line."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugins.csv.files import SEED

from gateway.cli import main

BAD = SEED + ",9 Nowhere,=cmd(),-1,7.5,now,2026-04-20,\n"


class CommandLine:
    """The command line in this process, on a configuration of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.config.write_text("[plugins.csv]\n", encoding="utf-8")

    def file(self, content: str, name: str = "orders.csv") -> str:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return str(path)

    def run(self, *words: str, code: int = 0):
        arguments = ["csv", *words, "--config", str(self.config)]
        done = CliRunner().invoke(
            main, arguments, prog_name="gateway", catch_exceptions=False, terminal_width=100
        )
        assert done.exit_code == code, done.output
        return done

    def json(self, *words: str):
        return json.loads(self.run(*words, "--json").stdout)


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path)


def test_a_file_is_imported_and_the_same_file_again_makes_nothing_twice(cli):
    file = cli.file(SEED)

    first = cli.json("import", file)
    again = cli.json("import", file)

    assert (first["created"], first["duplicates"], first["rows"]) == (2, 0, 2)
    assert len(first["package_ids"]) == 2
    assert (again["created"], again["duplicates"], again["package_ids"]) == (0, 2, [])


def test_what_a_person_is_shown(cli):
    done = cli.run("import", cli.file(BAD.replace("notes", "Comments\u202e", 1)))

    assert done.stdout.splitlines()[:3] == [
        "3 rows: 2 created, 0 imported before, 1 rejected.",
        "",
        "Errors:",
    ]
    assert "patient_name is required" in done.stdout
    assert "9 Nowhere" not in done.output


def test_progress_is_shown_on_stderr_only(cli):
    done = cli.run("import", cli.file(SEED), "--json")

    assert json.loads(done.stdout)["created"] == 2
    assert "2 rows" in done.stderr


def test_a_dry_run_keeps_nothing(cli):
    file = cli.file(SEED)

    rehearsed = cli.run("import", file, "--dry-run")

    assert rehearsed.stdout.startswith("2 rows: 2 would be created, 0 imported before, 0 rejected.")
    assert cli.json("import", file)["created"] == 2


def test_rejected_rows_come_back_as_a_file_that_is_safe_to_open(cli):
    errors = cli.folder / "errors.csv"

    cli.run("import", cli.file(BAD), "--errors-to", str(errors))

    assert errors.read_bytes().startswith(b"\xef\xbb\xbf")
    header, row = csv.reader(errors.read_text("utf-8-sig").splitlines())
    assert header == [*SEED.splitlines()[0].split(","), "import_row", "import_error"]
    assert row[:-1] == ["", "9 Nowhere", "'=cmd()", "'-1", "7.5", "now", "2026-04-20", "", "4"]
    assert row[-1] == (
        "patient_name: patient_name is required (enter the patient's name); "
        "priority: priority must be one of routine, urgent, stat (correct the cell)"
    )


def test_the_corrected_file_of_rejected_rows_imports_with_what_its_columns_were_judged_by(cli):
    errors = cli.folder / "errors.csv"
    file = cli.file(
        "name;address;deliver on;copay;phone\n"
        "Ana;1 Elm;31/04/2026;1.250,00;\n"
        ";2 Elm;03/04/2026;1.250;+13055551234\n"
        "Cy;3 Elm;30/04/2026;2,50;\n"
    )
    cli.run("import", file, "--errors-to", str(errors))
    text = errors.read_text("utf-8-sig")

    corrected = cli.file(text.replace("31/04/2026", "2026-04-30").replace(",2 Elm", "Bo,2 Elm"))
    report = cli.json("import", corrected, "--dry-run")

    assert ",2 Elm,2026-04-03,1250,'+13055551234,3," in text
    assert "Ana,1 Elm,31/04/2026,1250.00,,2," in text
    assert (report["created"], report["errors"]) == (2, [])


def test_no_file_of_rejected_rows_is_made_where_none_is_rejected_or_one_is_there(cli):
    errors = cli.folder / "errors.csv"
    file = cli.file(SEED)

    cli.run("import", file, "--errors-to", str(errors))
    assert not errors.exists()

    errors.write_text("mine")
    done = cli.run("import", file, "--errors-to", str(errors), code=1)
    assert errors.read_text() == "mine"
    assert done.stderr.startswith("gateway: The file for the rejected rows is there already")


def test_a_file_of_rejected_rows_that_cannot_be_written_is_told(cli):
    missing = cli.folder / "no" / "errors.csv"
    done = cli.run("import", cli.file(BAD), "--errors-to", str(missing), code=1)

    assert "The file for the rejected rows can't be written" in done.stderr


def test_a_file_of_which_no_row_can_be_imported_ends_with_1(cli):
    done = cli.run("import", cli.file("patient_name,patient_address\n,1 Elm\n"), code=1)

    assert done.stderr.splitlines()[-1] == "gateway: None of the rows can be imported."


def test_a_file_that_is_no_table_ends_with_1_and_a_reason(cli):
    done = cli.run("import", cli.file("%PDF-1.7"), code=1)

    assert done.stderr == ("gateway: The file is a PDF, not a table: export it as CSV or .xlsx.\n")


def test_columns_that_are_told_are_remembered(cli):
    file = cli.file("Who = where,patient_address\nAna,1 Elm\n")
    told = cli.json("import", file, "--column", "Who = where=patient_name", "--sender", "clinic")
    again = cli.json("import", file, "--sender", "clinic")
    wrong = cli.run("import", file, "--column", "nonsense", code=1)

    assert (told["created"], again["duplicates"]) == (1, 1)
    assert wrong.stderr.startswith("gateway: Name a column as in")


def test_dates_are_read_as_they_are_told_to_be(cli):
    file = cli.file("name,address,deliver on\nAna,1 Elm,03/04/2026\n")

    refused = cli.json("import", file, "--dates", "day-first", "--test")

    assert refused["created"] == 1


def test_more_than_fifty_problems_are_counted_and_not_all_shown(cli):
    done = cli.run("import", cli.file("name,address\nAna,1 Elm\n" + ",x\n" * 60))

    assert "and 10 more; --json shows them all" in done.stdout
    assert done.stdout.startswith("61 rows: 1 created, 0 imported before, 60 rejected.")
