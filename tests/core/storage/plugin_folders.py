"""Plugins that bring tables, for tests of migrations. Nothing here knows pytest."""

from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text

from gateway.storage.plugin_tables import PluginTables

CORE_HEAD = "core_0022"

FIRST = """
import sqlalchemy as sa
from alembic import op

revision = "{label}_0001"
down_revision = None
branch_labels = ("{label}",)
depends_on = None


def upgrade():
    op.create_table("{label}_orders", sa.Column("id", sa.Text, primary_key=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "{label}_0002"
down_revision = "{label}_0001"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("{label}_orders", sa.Column("note", sa.Text))
    {more}
"""


class Plugin:
    """A plugin's migrations in a folder of their own."""

    def __init__(self, folder: Path, label: str = "acme") -> None:
        self.label = label
        self.folder = folder / label
        self.folder.mkdir()
        made = MetaData()
        Table(f"{label}_orders", made, Column("id", Text, primary_key=True))
        self.tables = PluginTables(made, self.folder)
        self.write("0001", FIRST)

    def write(self, number: str, script: str, more: str = "pass") -> None:
        (self.folder / f"{number}.py").write_text(script.format(label=self.label, more=more))
