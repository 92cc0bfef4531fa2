"""``gateway check``: the database, Redis, the folder for data, and the master key."""

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from core.cli.findings import problems
from sqlalchemy import text

from gateway.http import local_ca
from gateway.storage.crypto.key_binding import KeyBinder
from gateway.storage.crypto.keyring import Keyring, load

PLUGIN = "[plugins.json_api]\n"


def test_a_database_behind_this_version_is_updated_by_the_next_start(run, config):
    (config.parent / "data").mkdir()
    (config.parent / "data" / "gateway.db").touch()

    assert (
        "ok       database: reachable; the next start (or gateway migrate) updates its schema"
        in run("check").stdout.splitlines()
    )


def test_a_file_that_is_no_database_is_a_problem(run, config):
    (config.parent / "data").mkdir(mode=0o700)
    (config.parent / "data" / "gateway.db").write_bytes(b"not a database" * 100)

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[database] url"
    assert message.startswith("The database can't be reached: its file is not a database")


def test_a_database_that_lost_a_table_is_a_problem(run, config, stock):
    stock.order(site="main")
    with closing(sqlite3.connect(config.parent / "data" / "gateway.db")) as connection:
        connection.execute("DROP TABLE facts")

    assert problems(run("check", "--json")) == [
        (
            "[database] url",
            "The database can't be read: a table is missing or damaged; restore a backup.",
        )
    ]


def test_a_damaged_page_is_a_problem(run, config, stock):
    stock.order(site="main")
    path = config.parent / "data" / "gateway.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 40_000)

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[database] url"
    assert "damaged" in message
    assert "gateway restore" in message


def test_a_column_that_this_version_needs_is_looked_for(run, config, stock):
    stock.order(site="main")
    with closing(sqlite3.connect(config.parent / "data" / "gateway.db")) as connection:
        connection.execute("ALTER TABLE events DROP COLUMN trace")

    [(_, message)] = problems(run("check", "--json"))

    assert message.startswith("The database lacks events.trace, although its migrations are done")


def test_a_key_whose_database_is_gone_is_a_problem(run, config, stock):
    stock.order(site="main")
    (config.parent / "data" / "gateway.db").unlink()

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[database] url"
    assert "its master key is there" in message
    assert "gateway restore FILE" in message


@pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing on Windows")
def test_a_database_that_other_users_can_read_is_a_problem(run, config, stock):
    stock.order(site="main")
    folder = config.parent / "data"
    folder.chmod(0o755)
    (folder / "gateway.db").chmod(0o644)

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[database] url"
    assert message.endswith(f"run: chmod go= {folder / 'gateway.db'}")


@pytest.mark.parametrize(("days", "ok"), [(75, True), (77, False), (91, False)])
def test_a_certificate_that_ends_within_two_weeks_is_a_problem(run, config, days, ok):
    issued = local_ca.issue(
        config.parent / "tls", ["gateway.lan"], datetime.now(UTC) - timedelta(days=days)
    )
    config.write_text(
        f'{config.read_text()}[http]\ntls_cert = "{issued.cert.as_posix()}"\n'
        f'tls_key = "{issued.key.as_posix()}"\n'
    )

    found = json.loads(run("check", "--json").stdout)

    assert found["ok"] is ok
    [certificate] = [each for each in found["checks"] if each["name"] == "certificate"]
    assert certificate["ok"] is ok


def test_a_certificate_that_cannot_be_read_is_a_problem(run, config):
    config.write_text(f'{config.read_text()}[http]\ntls_cert = "no.pem"\ntls_key = "no.pem"\n')

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[http] tls_cert"
    assert "can't be read" in message


def test_a_postgresql_in_use_is_fine(run, config, stock, postgres_url):
    config.write_text(f'[database]\nurl = "{postgres_url}"\n' + PLUGIN)
    stock.order()

    assert "ok       database: postgresql, up to date" in run("check").stdout.splitlines()


def test_a_postgresql_out_of_reach_is_a_problem(run, config):
    config.write_text(
        '[database]\nurl = "postgresql+asyncpg://gateway@127.0.0.1:1/gateway"\n' + PLUGIN
    )

    assert [field for field, _ in problems(run("check", "--json"))] == ["[database] url"]


def test_a_redis_that_answers_is_fine(run, config, redis_url):
    config.write_text(f'[redis]\nurl = "{redis_url}"\n' + PLUGIN)

    assert "ok       redis: answers" in run("check").stdout.splitlines()


def test_a_redis_out_of_reach_is_a_problem(run, config):
    config.write_text('[redis]\nurl = "redis://:hunter2@127.0.0.1:1/0"\n' + PLUGIN)

    result = run("check", "--json")

    [(field, message)] = problems(result)
    assert field == "[redis] url"
    assert message.startswith("Redis can't be reached (ConnectionError): see that it runs, ")
    assert "hunter2" not in result.output


def test_a_data_dir_that_cannot_be_made_is_a_problem(run, config):
    config.write_text('[gateway]\ndata_dir = "taken/data"\n' + PLUGIN)
    taken = config.parent / "taken"
    taken.touch()

    assert problems(run("check", "--json")) == [
        (
            "[gateway] data_dir",
            f"{taken} is no folder that can be written: choose another, or change its permissions",
        )
    ]


def test_a_full_disk_is_a_problem(run, config, monkeypatch):
    full = shutil.disk_usage(config.parent)._replace(free=31 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[gateway] data_dir"
    assert message.startswith(f"the disk of {config.parent} is full (")
    assert message.endswith(" MB are left): make room")


def test_a_master_key_that_was_lost_is_a_problem(run, config, stock):
    stock.order(site="main")
    (config.parent / "data" / "master.key").unlink()

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[gateway] data_dir"
    assert message.endswith(
        "the master key is not there; put back the copy that you keep of it (no backup holds it)"
    )


def test_the_master_key_of_another_database_is_a_problem(run, config, stock, tmp_path):
    stock.order(site="main")
    key = json.dumps(Keyring.generate().to_text())
    with config.open("a") as file:
        file.write(f"[security]\nmaster_key = {key}\n")

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[security] master_key"
    assert message.startswith("The master key is not the one this database was sealed with: ")


def test_a_master_key_in_the_settings_is_fine(run, config):
    key = json.dumps(Keyring.generate().to_text())
    config.write_text(f"[security]\nmaster_key = {key}\n{PLUGIN}")

    assert run("check").stdout.splitlines()[-1] == "ok       master key: in the settings"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_master_key_that_others_may_read_is_a_problem(run, config, stock):
    stock.order(site="main")
    (config.parent / "data" / "master.key").chmod(0o644)

    [(field, message)] = problems(run("check", "--json"))

    assert field == "[gateway] data_dir"
    assert "(mode 0644); run: chmod 600 " in message


def test_keys_from_before_scopes_are_named_until_they_are_narrowed(run, read, stock):
    made = read("keys", "create", "--name", "Front desk", "--scope", "integration")
    fine = run("check").stdout
    assert "ok       keys: 1 active\n" in fine

    legacy(stock, made["id"])
    named = run("check")
    assert named.exit_code == 0
    assert f"able to do what every key could: {made['id']} (Front desk)" in named.stdout

    read("keys", "narrow", made["id"], "--scope", "orders")
    narrowed = run("check").stdout.replace(
        "2 rows verified, the newest is 2", "1 rows verified, the newest is 1"
    )
    assert narrowed == fine


def test_a_row_of_a_key_that_the_gateway_did_not_write_is_a_problem(run, read, stock):
    made = read("keys", "create", "--name", "till")

    sql(stock, "UPDATE api_keys SET scopes = 'legacy'")
    changed = run("check")
    assert changed.exit_code == 1
    assert f"{made['id']} (till): not as the gateway wrote it" in changed.stdout

    sql(stock, "UPDATE api_keys SET binding = NULL")
    assert "gateway keys confirm ID" in run("check").stdout

    read("keys", "revoke", made["id"])
    assert run("check").exit_code == 0


def sql(stock, statement):
    async def run_it(gateway):
        async with gateway.database.begin() as connection:
            await connection.execute(text(statement))

    stock.do(run_it)


def legacy(stock, key_id):
    """Give a key what the first start after the upgrade gives those that it finds."""

    async def bind(gateway):
        binder = KeyBinder(load(gateway.master_key_path))
        async with gateway.database.begin() as connection:
            key = await gateway.accounts.key(connection, key_id)
            old = msgspec.structs.replace(key, scopes="legacy")
            bound = msgspec.structs.replace(old, binding=binder.binding(old))
            await gateway.accounts.rewrite(connection, bound)

    stock.do(bind)
