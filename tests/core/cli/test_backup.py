"""``gateway backup`` and ``gateway restore``: there and back, and what is refused."""

import json

import pytest
from core.storage.plugin_folders import CORE_HEAD
from processes import GatewayProcess

from gateway.storage.crypto.keyring import Keyring
from gateway.version import __version__, build_id

pytestmark = pytest.mark.slow

VERSION = f"{__version__}+{build_id()}"
ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Elm St"}


@pytest.fixture
def file(config):
    return config.parent / "kept.backup"


@pytest.fixture
def elsewhere(config, tmp_path):
    """Point the configuration at another, empty database; the master key stays where it was."""

    def move(url=None):
        url = url or f"sqlite+aiosqlite:///{tmp_path / 'new' / 'gateway.db'}"
        config.write_text(f'{config.read_text()}\n[database]\nurl = "{url}"\n', encoding="utf-8")

    return move


def names(read):
    return [(each["id"], each["data"]["package_id"]) for each in read("events", "list")]


def test_what_was_saved_is_there_again(read, run, stock, file, elsewhere):
    stock.order(site="main")
    before = names(read)

    saved = read("backup", str(file))
    elsewhere()
    restored = read("restore", str(file))

    assert names(read) == before
    assert saved["file"] == str(file)
    assert saved["bytes"] == file.stat().st_size
    assert (saved["version"], saved["from"], saved["schema"]) == (VERSION, "sqlite", [CORE_HEAD])
    rows = {each["table"]: each["rows"] for each in saved["tables"]}
    assert (rows["packages"], rows["events"]) == (1, 1)
    assert saved["rows"] == sum(rows.values())
    assert min(rows.values()) > 0  # the others would be two screens of nothing
    assert restored == {name: value for name, value in saved.items() if name != "bytes"}


def test_sqlite_moves_to_postgresql_and_back(
    read, stock, file, elsewhere, config, empty_postgres_url
):
    stock.order(site="main")
    before, at_home = names(read), config.read_text()
    read("backup", str(file))

    elsewhere(empty_postgres_url)
    read("restore", str(file))
    assert names(read) == before
    second = file.with_name("second.backup")
    assert read("backup", str(second))["from"] == "postgresql"

    config.write_text(at_home)
    read("restore", str(second), "--force")
    assert names(read) == before


def test_without_a_name_it_goes_to_the_folder_of_backups(run, config, stock):
    stock.order(site="main")

    result = run("backup")

    folder = config.parent / "data" / "backups"
    [made] = folder.glob("gateway-????????T??????Z.backup")
    assert f"file           {made}" in result.stdout
    assert "packages: 1 of 1 rows\n" in result.stderr
    assert result.stdout.splitlines()[-1] == (
        f"The master key is not in it: keep a copy of it ({config.parent / 'data' / 'master.key'}) "
        "in another place."
    )


def test_the_newest_backups_are_kept_and_what_is_not_ours_to_remove(run, config, stock):
    stock.order(site="main")
    folder = config.parent / "data" / "backups"
    folder.mkdir(parents=True)
    old = [f"gateway-2026010{day}T023000Z.backup" for day in (1, 2, 3)]
    others = ["gateway-20260101T023000Z-before-migration.db", "mine.backup"]
    for name in (*old, *others):
        (folder / name).write_bytes(b"x")

    result = run("backup", "--keep", "2")

    left = sorted(path.name for path in folder.iterdir())
    [made] = set(left) - {*old, *others}
    assert left == sorted([old[2], made, *others])
    assert [line for line in result.stderr.splitlines() if line.startswith("gateway: ")] == [
        f"gateway: {name} is removed" for name in old[:2]
    ]


def test_what_is_to_be_kept_is_of_the_folder_of_backups_only(run, file):
    assert run("backup", str(file), "--keep", "2").exit_code == 2
    assert not file.exists()
    assert run("backup", "--keep", "0").exit_code == 2


def test_who_made_a_backup_and_who_restored_it_is_in_the_audit_trail(read, stock, file, elsewhere):
    stock.order(site="main")
    read("backup", str(file))
    [(actor, what, _)] = stock.audited("backup.written")
    assert actor.startswith("cli:")
    assert what == "kept.backup"

    elsewhere()
    read("restore", str(file))

    assert stock.audited("backup.written") == []  # it was written down after that moment
    assert [entry[:2] for entry in stock.audited("backup.restored")] == [(actor, "kept.backup")]


def test_a_check_reads_the_file_and_touches_no_database(
    run, read, stock, file, elsewhere, tmp_path
):
    stock.order(site="main")
    rows = read("backup", str(file))["rows"]
    elsewhere()

    result = run("restore", str(file), "--check")

    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        0,
        f"The backup is whole: {rows} rows.",
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("words", [(), ("--check",), ("--force",)])
@pytest.mark.parametrize(
    "spoil",
    [lambda good: good[:-1], lambda good: good[:200] + bytes([good[200] ^ 1]) + good[201:]],
    ids=["cut off", "one bit"],
)
def test_a_damaged_file_is_refused_and_nothing_is_touched(
    run, read, stock, file, config, words, spoil
):
    stock.order(site="main")
    read("backup", str(file))
    file.write_bytes(spoil(file.read_bytes()))
    before = (config.parent / "data" / "gateway.db").read_bytes()

    result = run("restore", str(file), *words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gateway: The backup is damaged: part of it was changed or is missing. Nothing of it was "
        "used; take another copy of it, or an earlier backup.\n"
    )
    assert (config.parent / "data" / "gateway.db").read_bytes() == before


def test_another_master_key_is_refused_in_a_sentence(run, read, stock, file, config, elsewhere):
    stock.order(site="main")
    read("backup", str(file))
    elsewhere()
    key = config.parent / "data" / "master.key"
    key.write_text(Keyring.generate().to_text())

    result = run("restore", str(file))

    assert result.exit_code == 1
    assert result.stderr.startswith("gateway: The backup was sealed with another master key (")


def test_without_its_master_key_a_backup_is_of_no_use(run, read, stock, file, config, elsewhere):
    stock.order(site="main")
    read("backup", str(file))
    elsewhere()
    (config.parent / "data" / "master.key").unlink()

    result = run("restore", str(file))

    assert result.exit_code == 1
    assert "the master key is not there" in result.stderr
    assert not (config.parent / "data" / "master.key").exists()


def test_the_master_key_may_be_in_the_settings(run, read, stock, file, config, elsewhere):
    keys = Keyring.generate().to_text().strip().replace("\n", ",")
    config.write_text(f'{config.read_text()}\n[security]\nmaster_key = "{keys}"\n')
    stock.order(site="main")
    before = names(read)

    assert "keep a copy of it (the settings) in another place" in run("backup", str(file)).stdout
    elsewhere()
    read("restore", str(file))

    assert names(read) == before


def test_what_is_there_is_not_replaced_unasked(run, read, stock, file):
    stock.order(site="main")
    before = names(read)
    read("backup", str(file))
    stock.order(site="main", external_order_id="LATER")

    refused = run("restore", str(file))

    assert refused.exit_code == 1
    assert refused.stderr.startswith("gateway: The database holds data already (in ")
    assert len(names(read)) == 2
    read("restore", str(file), "--force")
    assert names(read) == before


def test_a_backup_that_is_there_already_is_not_replaced(run, stock, file):
    stock.order(site="main")
    file.write_text("mine")

    result = run("backup", str(file))

    assert result.stderr.endswith("kept.backup is there already: name another file.\n")
    assert file.read_text() == "mine"


PLUGIN = """
from pathlib import Path

import msgspec
from sqlalchemy import MetaData

from gateway.plugin import PluginTables, hookimpl


class Plugin:
    api_version = 1

    class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        pass

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def tables(self):
        return PluginTables(MetaData(), Path(__file__).parent / "migrations")
"""
MIGRATION = """
revision = "pulse_0001"
down_revision = None
branch_labels = ("pulse",)
depends_on = None


def upgrade():
    pass
"""


def test_a_plugin_that_is_off_is_named_when_a_backup_is_made(run, config, install, file, tmp_path):
    install("pulse", PLUGIN)
    folder = tmp_path / "site-pulse" / "migrations"
    folder.mkdir()
    (folder / "0001.py").write_text(MIGRATION)
    plain = config.read_text()
    config.write_text(f"{plain}\n[plugins.pulse]\n")
    assert run("migrate").exit_code == 0
    config.write_text(plain)

    result = run("backup", str(file))

    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == (
        "gateway: not in it are the tables of plugins that are off (pulse_0001): enable them, "
        "then make another backup."
    )


@pytest.mark.slow
async def test_a_serving_gateway_is_backed_up_and_not_restored_over(tmp_path):
    async with GatewayProcess(tmp_path) as serving:
        file = tmp_path / "kept.backup"

        assert (await serving.json("backup", str(file)))["from"] == "sqlite"
        code, out, err = await serving.run("restore", str(file), "--force")

        assert (code, out) == (1, "")
        assert err == (
            "gateway: The database is in use by another process, such as gateway serve: stop it, "
            "then try again.\n"
        )
        await serving.stop()
        assert (await serving.json("restore", str(file), "--force"))["version"] == VERSION
        await serving.start()


def test_gateway_toml_is_in_it_without_its_secrets(run, read, stock, config, file):
    config.write_text(
        f'{config.read_text()}[redis]\nurl = "redis://:hunter2@127.0.0.1:1/0"\n', encoding="utf-8"
    )
    stock.order(site="main")
    said = run("backup", str(file)).stderr
    target = config.parent / "from-backup.toml"
    written = read("restore", str(file), "--configuration-to", str(target))
    again = run("restore", str(file), "--configuration-to", str(target))

    assert "without its secrets ([redis] url)" in said
    assert written["configuration"] is True
    assert target.read_text() == config.read_text().replace("hunter2", "REDACTED")
    assert again.exit_code == 1
    assert "is there already" in again.stderr


def test_a_backup_that_fails_is_noted_until_one_is_made(run, stock, config):
    stock.order(site="main")
    folder = config.parent / "data" / "backups"
    folder.write_text("in the way")
    failed = run("backup")
    red = run("status", "--json")
    folder.unlink()
    made = run("backup")
    green = run("status", "--json")

    def line(result):
        [found] = [each for each in json.loads(result.stdout)["checks"] if each["name"] == "backup"]
        return found

    assert (failed.exit_code, made.exit_code) == (1, 0)
    assert "the last attempt failed" in line(red)["detail"]
    assert (line(red)["ok"], line(green)["ok"]) == (False, True)
