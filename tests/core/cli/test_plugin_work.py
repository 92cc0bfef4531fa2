"""``gateway plugins migration`` and ``replay``, loose plugins, and ``gateway dev``."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from core.storage.plugin_folders import Plugin
from sqlalchemy import Boolean, Column, Index, Integer, MetaData, Table, Text, text

from gateway.cli.loose_plugins import loose_plugins, write_distribution
from gateway.cli.plugin_migration import write_migration
from gateway.cli.plugin_replay import (
    Recorded,
    read_recorded,
    refuse_foreign,
    schemes_of,
    signed_again,
)
from gateway.clock import SystemClock
from gateway.errors import Conflict, GatewayError, InvalidInput
from gateway.plugin import SignatureScheme, signed_request
from gateway.storage.plugin_tables import PluginTables
from gateway.testing import Receiver

TABLES = """
from pathlib import Path

import msgspec
from sqlalchemy import Column, MetaData, Table, Text

from gateway.plugin import API_VERSION, PluginTables, hookimpl

made = MetaData()
Table("acme_orders", made, Column("id", Text, primary_key=True), Column("note", Text))


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Plugin:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def tables(self):
        return PluginTables(made, Path(__file__).parent / "migrations")
"""


def test_a_migration_limits_an_index_on_both_databases_by_the_conditions_that_it_has(tmp_path):
    made = MetaData()
    Table(
        "acme_orders",
        made,
        Column("id", Integer, primary_key=True),
        Column("done", Boolean, nullable=False),
        Index("ix_acme_open", "id", sqlite_where=text("id > 5")),
        Index(
            "ix_acme_own",
            "id",
            sqlite_where=text("done = 0"),
            postgresql_where=text("NOT done"),
        ),
        Index("ix_acme_all", "id"),
    )

    code = write_migration("acme", PluginTables(made, tmp_path / "migrations"), "x").read_text()

    [every] = [line for line in code.splitlines() if "'ix_acme_all'" in line and "create" in line]
    [both] = [line for line in code.splitlines() if "'ix_acme_open'" in line and "create" in line]
    [own] = [line for line in code.splitlines() if "'ix_acme_own'" in line and "create" in line]
    assert "where" not in every
    assert both.count("sa.text('id > 5')") == 2
    assert "postgresql_where=sa.text('NOT done')" in own


def test_the_first_migration_makes_the_tables_and_the_next_one_what_changed(tmp_path):
    made = MetaData()
    Table("acme_orders", made, Column("id", Text, primary_key=True))
    tables = PluginTables(made, tmp_path / "migrations")

    first = write_migration("acme", tables, "The tables.")
    with pytest.raises(Conflict, match="The tables are what the migrations make"):
        write_migration("acme", tables, "Nothing")
    Table("acme_orders", made, Column("note", Text), extend_existing=True)
    Table("acme_sent", made, Column("id", Integer, primary_key=True))
    second = write_migration("acme", tables, "Notes")

    assert (first.name, second.name) == ("acme_0001.py", "acme_0002.py")
    assert 'branch_labels = ("acme",)' in first.read_text()
    text = second.read_text()
    assert text.startswith('"""Notes."""')
    assert 'down_revision = "acme_0001"' in text
    assert "branch_labels = None" in text
    assert re.search(r"op\.add_column\(\s*.acme_orders.", text)
    assert re.search(r"op\.create_table\(\s*.acme_sent.", text)
    with pytest.raises(Conflict):
        write_migration("acme", tables, "Nothing")


def test_two_ends_and_a_text_that_is_no_docstring_are_refused(tmp_path):
    plugin = Plugin(tmp_path)
    with pytest.raises(InvalidInput):
        write_migration("acme", plugin.tables, 'The """ end')
    made = MetaData()
    Table("acme_orders", made, Column("id", Text, primary_key=True), Column("note", Text))
    first = plugin.folder / "0001.py"
    (plugin.folder / "0009.py").write_text(first.read_text().replace("acme_0001", "acme_0009"))

    with pytest.raises(GatewayError):
        write_migration("acme", PluginTables(made, plugin.folder), "Notes")


def test_the_command_writes_the_file_beside_the_plugin(run, read, config, install, tmp_path):
    install("acme", TABLES)
    config.write_text("[plugins.acme]\n")

    made = read("plugins", "migration", "acme", "The tables")

    assert made["revision"] == "acme_0001"
    assert (tmp_path / "site-acme" / "migrations" / "acme_0001.py").is_file()
    again = run("plugins", "migration", "acme", "The tables")
    assert (again.exit_code, again.stderr) == (
        1,
        "gateway: The tables are what the migrations make: there is nothing to write.\n",
    )


def test_a_plugin_without_tables_is_told_what_to_return(run, config):
    result = run("plugins", "migration", "json_api", "x")

    assert "Plugin json_api brings no tables: return PluginTables" in result.stderr


RECORDED = (
    b"POST /api/webhook/orders HTTP/1.1\r\nHost: shop.example.com\r\n"
    b"Content-Type: application/json\r\nX-Shop: \xe9\r\n\r\n"
    b'{"orders": [\r\n\r\n]}\n'
)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_a_recorded_request_keeps_its_body_byte_for_byte(tmp_path, line_end):
    head, body = RECORDED.split(b"\r\n\r\n", 1)
    file = tmp_path / "order.http"
    file.write_bytes(head.replace(b"\r\n", line_end) + line_end * 2 + body)

    recorded = read_recorded(file)

    assert (recorded.method, recorded.path) == ("POST", "/api/webhook/orders")
    assert recorded.body == b'{"orders": [\r\n\r\n]}\n'
    assert recorded.headers["X-Shop"] == "é"


@pytest.mark.parametrize("content", [b"", b"{}", b"FETCH /x\n\n", b"POST api\n\nx", b"\xff\xfe"])
def test_what_is_no_request_is_refused(tmp_path, content):
    (tmp_path / "order.http").write_bytes(content)

    with pytest.raises(InvalidInput, match=r"order\.http holds no request"):
        read_recorded(tmp_path / "order.http")


def test_a_request_for_another_plugin_is_refused_with_the_routes_there_are(tmp_path):
    (tmp_path / "order.http").write_bytes(RECORDED)
    recorded = read_recorded(tmp_path / "order.http")
    refuse_foreign(recorded, "acme", {("POST", "/api/webhook/{kind:str}")})

    with pytest.raises(InvalidInput) as raised:
        refuse_foreign(recorded, "acme", {("GET", "/api/webhook/orders"), ("POST", "/api/acme")})
    assert raised.value.message == (
        "Plugin acme has no route for this request; it has: GET /api/webhook/orders, POST "
        "/api/acme."
    )


async def test_a_recorded_request_is_posted_again(run, tmp_path):
    (tmp_path / "order.http").write_bytes(RECORDED)
    async with Receiver() as receiver:
        words = ("plugins", "replay", "json_api", str(tmp_path / "order.http"))
        result = await asyncio.to_thread(run, *words, "--to", receiver.url, "--key", "sk_test_1")
        [received] = await receiver.wait_for(1)

    assert result.stdout.splitlines() == ["status  200", "answer  ok"]
    assert received.body == b'{"orders": [\r\n\r\n]}\n'
    assert received.headers["x-api-key"] == "sk_test_1"


def test_a_recorded_request_is_signed_again_as_of_now():
    scheme = SignatureScheme(
        "X-Sig", signed="{timestamp}.{body}", timestamp_key="t", signature_key="v1"
    )
    old = {"x-sig": "t=1,v1=00", "Content-Type": "application/json"}
    recorded = Recorded("POST", "/api/acme/orders", old, b"{}")

    signed = signed_again(recorded, [scheme], "s3cret")

    assert sorted(signed.headers) == ["Content-Type", "X-Sig"]
    signed_request(scheme, signed.headers, b"{}", ["s3cret"], SystemClock().now())
    for schemes in ([], [scheme, SignatureScheme("X-Other")]):
        with pytest.raises(InvalidInput, match=f"define {len(schemes)} values"):
            signed_again(recorded, schemes, "s3cret")


def test_a_plugins_schemes_are_those_of_its_own_modules(monkeypatch):
    mine = SignatureScheme("X-Sig")
    for name, values in (("acme_x.routes", {"A": mine, "B": mine}), ("acme_xy", {"C": mine})):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**values))

    assert schemes_of("acme_x") == [mine]
    assert schemes_of("acme_z") == []


def test_where_no_gateway_answers_is_said(run, tmp_path):
    (tmp_path / "order.http").write_bytes(RECORDED)
    words = ("plugins", "replay", "json_api", str(tmp_path / "order.http"))
    result = run(*words, "--to", "http://127.0.0.1:9")

    assert result.exit_code == 1
    assert result.stderr.startswith("gateway: No gateway answers at http://127.0.0.1:9 (")


LOOSE = """
import msgspec

from gateway.plugin import API_VERSION, Problem, Review, hookimpl


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Rules:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def review_orders(self, orders):
        return [Review(warnings=(Problem("looked at"),)) for _ in orders]
"""


def test_a_loose_plugin_is_a_file_with_a_plugin_class(tmp_path):
    (tmp_path / "area.py").write_text(LOOSE)
    (tmp_path / "notes.py").write_text("class Notes:\n    pass\n")

    assert loose_plugins(tmp_path) == {"area": "area:Rules"}
    write_distribution(tmp_path / "site", {"area": "area:Rules"})
    [info] = (tmp_path / "site").iterdir()
    assert (info / "entry_points.txt").read_text() == "[gateway.plugins]\narea = area:Rules\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("area.py", "class (:", "area.py:1 is no Python"), ("Ar-ea.py", LOOSE, "can't name a plugin")],
)
def test_a_loose_file_that_can_be_no_plugin_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)

    with pytest.raises(GatewayError, match=message):
        loose_plugins(tmp_path)


class Printed:
    """The lines that a process prints, as they come."""

    def __init__(self, process):
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self.lines.append("END\n")
            self._news.notify_all()

    def wait_for(self, text: str, count: int = 1) -> None:
        def is_there() -> bool:
            ended = self.lines[-1:] == ["END\n"]
            assert not ended, "".join(self.lines)
            return sum(text in line for line in self.lines) >= count

        with self._news:
            assert self._news.wait_for(is_there, timeout=120), "".join(self.lines)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to a process")
@pytest.mark.long
def test_dev_serves_loose_plugins_shows_webhooks_and_reloads_on_change(tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "area.py").write_text(LOOSE)
    words = [sys.executable, "-m", "gateway", "dev", "--plugins-dir", str(loose)]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"GATEWAY_TRACE_PLUGINS": "1", "PYTHONUNBUFFERED": "1"},
    ) as process:
        printed = Printed(process)
        try:
            printed.wait_for("Ready at http://127.0.0.1:")
            printed.wait_for("→ package.created", count=2)
            printed.wait_for("trace: area.review_orders(orders: tuple of 2 Order) -> list of 2")

            (loose / "area.py").write_text("import nowhere_to_be_found\n" + LOOSE)
            printed.wait_for("Reloading: area.py changed.")
            printed.wait_for("plugin area (loose-plugins 0) is left out: can't be imported")
            (loose / "area.py").write_text(LOOSE + "\n")
            printed.wait_for("Ready at http://127.0.0.1:", count=3)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)
            printed.thread.join(timeout=120)  # the pipe is closed once it has been read
    assert process.returncode == 0, "".join(printed.lines)
    assert list(tmp_path.iterdir()) == [loose]
