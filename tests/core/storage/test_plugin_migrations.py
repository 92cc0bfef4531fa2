"""Migrations and tables of plugins begin with the plugin's name, and no two plugins share one."""

from pathlib import Path

import pytest
from core.storage.plugin_folders import Plugin
from sqlalchemy import Column, MetaData, Table, Text

from gateway.errors import PluginError
from gateway.hooks import Hooks
from gateway.hookspecs import hookimpl
from gateway.storage.plugin_migrations import revisions_in
from gateway.storage.plugin_tables import PluginTables

# As alembic revision writes them, and as a plugin might by hand.
GENERATED = '''"""Orders.

Revision ID: 0001
"""
from typing import Union

revision: str = "{revision}"
down_revision: Union[str, None] = None
branch_labels: Union[str, None] = {labels}
depends_on = None
'''


class Brings:
    """A plugin with these tables."""

    def __init__(self, tables):
        self.brought = tables

    @hookimpl
    def tables(self):
        return self.brought


def hooks_of(**brought: PluginTables) -> Hooks:
    hooks = Hooks()
    for name, tables in brought.items():
        hooks.register(Brings(tables), name)
    return hooks


def brought(folder: Path, revision: str, labels: str, table: str, prefix: str = "") -> PluginTables:
    folder.mkdir()
    (folder / f"{revision}.py").write_text(GENERATED.format(revision=revision, labels=labels))
    made = MetaData()
    Table(table, made, Column("id", Text, primary_key=True))
    return PluginTables(made, folder, prefix=prefix)


def refusal(**plugins: PluginTables) -> str:
    with pytest.raises(PluginError) as raised:
        hooks_of(**plugins).tables()
    return raised.value.message


def test_tables_that_begin_with_the_plugins_name_are_taken(tmp_path):
    acme, erp = Plugin(tmp_path, "acme").tables, Plugin(tmp_path, "erp").tables

    assert hooks_of(acme=acme, erp=erp).tables() == [acme, erp]


def test_two_plugins_with_one_migration_are_both_named_with_their_files(tmp_path):
    first = brought(tmp_path / "one", "0001", '"acme"', "acme_orders")
    second = brought(tmp_path / "two", "0001", '"erp"', "erp_orders")

    assert refusal(acme=first, erp=second) == (
        "plugin acme (one/0001.py) and plugin erp (two/0001.py) both bring the migration 0001, so "
        "one of them would never run: begin each with its plugin's name, as in erp_0001"
    )


def test_two_plugins_with_one_table_are_both_named(tmp_path):
    first = brought(tmp_path / "one", "acme_0001", '"acme"', "orders_in")
    second = brought(tmp_path / "two", "erp_0001", '"erp"', "orders_in")

    assert refusal(acme=first, erp=second).startswith(
        "plugin acme and plugin erp both bring the table orders_in: "
    )


def test_a_table_of_the_core_is_refused(tmp_path):
    taken = brought(tmp_path / "one", "api_0001", '"api"', "api_keys")

    assert refusal(api=taken) == (
        "plugin api brings the table api_keys, which is one of the core's: begin it with the "
        "plugin's name, as in api_api_keys"
    )


@pytest.mark.parametrize(
    ("revision", "labels", "table", "prefix", "fault"),
    [
        (
            "0001",
            '"acme"',
            "acme_orders",
            "",
            (
                "the migration 0001 (own/0001.py) doesn't begin with the plugin's name: call it "
                "acme_0001"
            ),
        ),
        (
            "acme_0001",
            "None",
            "acme_orders",
            "",
            (
                "the first migration acme_0001 (own/acme_0001.py) doesn't name the plugin: write "
                'branch_labels = ("acme",)'
            ),
        ),
        (
            "acme_0001",
            '("acme",)',
            "orders",
            "",
            "the table orders doesn't begin with acme_: call it acme_orders",
        ),
        (
            "acme_0001",
            '"acme"',
            "erp_orders",
            "erp_",
            "the prefix erp_ of its tables is no beginning of the plugin's name",
        ),
    ],
)
def test_what_does_not_begin_with_the_plugins_name_is_refused(
    tmp_path, revision, labels, table, prefix, fault
):
    own = brought(tmp_path / "own", revision, labels, table, prefix)

    assert refusal(acme=own) == f"plugin acme: {fault}"


def test_a_long_name_may_have_a_shorter_prefix(tmp_path):
    own = brought(tmp_path / "own", "acme_erp_0001", '"acme_erp"', "acme_orders", "acme_")

    assert hooks_of(acme_erp=own).tables() == [own]


def test_a_folder_that_is_not_there_has_no_revisions(tmp_path):
    (tmp_path / "notes.py").write_text("revision = 3\n")

    assert revisions_in(tmp_path / "nowhere") == []
    assert revisions_in(tmp_path) == []
