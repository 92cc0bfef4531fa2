"""Chosen columns have a mode and a site, also where csv_0001 was applied before it had them.

csv_0001 was changed once after databases had been made with it. Those databases get the two
columns here; their choices become those of live data for all sites. Others stay as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "csv_0003"
down_revision = "csv_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns to the key, unless they are there."""
    connection = op.get_bind()
    if "mode" in {each["name"] for each in sa.inspect(connection).get_columns("csv_columns")}:
        return
    names = ("account_id", "mode", "site", "sender", "header", "field")
    op.rename_table("csv_columns", "csv_columns_before")
    # PostgreSQL's constraint keeps its name along with the table.
    if connection.dialect.name == "postgresql":
        op.execute("ALTER INDEX pk_csv_columns RENAME TO pk_csv_columns_before")
    op.create_table(
        "csv_columns",
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        sa.PrimaryKeyConstraint(
            "account_id", "mode", "site", "sender", "header", name=op.f("pk_csv_columns")
        ),
    )
    op.execute(
        "INSERT INTO csv_columns (account_id, mode, site, sender, header, field) "
        "SELECT account_id, 'live', '', sender, header, field FROM csv_columns_before"
    )
    op.drop_table("csv_columns_before")
