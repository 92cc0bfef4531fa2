"""``gateway csv export``: packages as a file that opens safely and imports again."""

import csv
import os
import stat

import pytest
from plugins.csv.files import SEED, Sender
from plugins.csv.test_commands import CommandLine
from sqlalchemy import text

from gateway.errors import StorageError


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path)


def exported(path):
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines(keepends=True)))


def test_packages_are_written_newest_first_and_nobody_else_may_read_them(cli):
    cli.json("import", cli.file(SEED))
    path = cli.folder / "out.csv"

    assert cli.json("export", str(path)) == {"exported": 2}

    first, second = exported(path)
    assert {**first, "package_id": "", "created_at": ""} == {
        "package_id": "",
        "status": "created",
        "created_at": "",
        "site": "",
        "source": "csv",
        "patient_name": "Alex Kim",
        "patient_address": "450 Collins Ave, Miami Beach, FL 33139",
        "patient_phone": "'+13055559876",
        "patient_email": "",
        "rx_number": "RX-8872589",
        "copay_amount": "0.00",
        "priority": "urgent",
        "requires_signature": "no",
        "delivery_date": "2026-04-20",
        "notes": "",
        "external_patient_id": "",
        "external_order_id": "",
        "metadata": "",
        "prescriptions": "",
        "driver": "",
        "delivered_at": "",
        "proof_photo": "",
        "proof_signature": "",
        "signer_name": "",
        "copay_collected": "",
        "copay_method": "",
    }
    assert second["patient_name"] == "Maria Rodriguez"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_export_imports_again_as_the_same(cli):
    header = "name,address,phone,copay,sig required,deliver on,notes,metadata.route,rx,site"
    cli.config.write_text('[plugins.csv]\n[[sites]]\ncode = "main"\nname = "Lakeside"\n')
    file = cli.file(f'{header}\n=Ana,1 Elm,3055551234,"1,250.5",Y,4/20/2026,"a\nb; \'=c",7,0042,\n')
    out, again = cli.folder / "out.csv", cli.folder / "again.csv"

    cli.json("import", file)
    cli.json("export", str(out))
    known = cli.json("import", str(out))
    cli.json("import", str(out), "--test")
    cli.json("export", str(again), "--test")

    assert (known["created"], known["duplicates"], known["errors"]) == (0, 1, [])
    [one], [other] = exported(out), exported(again)
    assert one["metadata"] == '{"route":"7"}'
    assert {**one, "package_id": "", "created_at": ""} == {
        **other,
        "package_id": "",
        "created_at": "",
    }


def test_only_what_is_asked_for_is_exported(cli):
    sites = "".join(f'[[sites]]\ncode = "{each}"\nname = "{each}"\n' for each in ("main", "north"))
    cli.config.write_text(f"[plugins.csv]\n{sites}")
    cli.json("import", cli.file(SEED), "--site", "north")
    counts = [
        cli.json("export", str(cli.folder / f"{number}.csv"), *words)["exported"]
        for number, words in enumerate(
            [
                ["--site", "north"],
                ["--site", "main"],
                ["--status", "created"],
                ["--status", "completed"],
                ["--since", "2026-01-01"],
                ["--since", "2100-01-01"],
                ["--since", "1h"],
            ]
        )
    ]

    assert counts == [2, 0, 2, 0, 2, 0, 2]


def test_a_file_that_is_there_or_cannot_be_is_told_and_left_alone(cli):
    path = cli.file("mine")

    there = cli.run("export", path, code=1)
    nowhere = cli.run("export", str(cli.folder / "no" / "x.csv"), code=1)

    assert there.stderr.startswith("gateway: The file is there already")
    assert nowhere.stderr.startswith("gateway: The file can't be written")
    assert (cli.folder / "orders.csv").read_text() == "mine"


def test_an_export_that_fails_leaves_no_half_of_a_file(cli, monkeypatch):
    async def failing(_gateway, _caller, _wanted, out):
        out.write("half of it")
        raise StorageError("The database went away.")

    cli.run("import", cli.file(SEED))  # makes the database: reading commands make none
    monkeypatch.setattr("gateway_csv.export_command.export", failing)
    path = cli.folder / "out.csv"

    done = cli.run("export", str(path), code=1)

    assert done.stderr == "gateway: The database went away.\n"
    assert not path.exists()


async def test_every_exported_package_is_in_the_audit_trail(gateway):
    import io

    from gateway_csv.export import Wanted, export

    sender = Sender(gateway, await gateway.issue_key())
    report = await sender.send(SEED)

    count = await export(gateway.gateway, gateway.caller(), Wanted(), io.StringIO())

    async with gateway.gateway.database.read() as connection:
        rows = await connection.execute(
            text("SELECT subject FROM audit WHERE action = 'package.exported' ORDER BY subject")
        )
        assert [row[0] for row in rows] == sorted(report["package_ids"])
    assert count == 2
