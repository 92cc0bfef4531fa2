"""``gateway migrate``: update the database schema."""

import click

from gateway.cli.opening import open_gateway
from gateway.sdk.cli import Session, command


@command("migrate")
@click.option(
    "--new", is_flag=True, help="Create an empty database, although its master key is there."
)
async def migrate(session: Session, *, new: bool) -> None:
    """Update the database schema to this version; a SQLite file is backed up first.

    gateway serve and gateway worker do the same when they start; this command reports it. If the
    database is missing and its master key exists, the database was lost or is elsewhere: only --new
    creates another.
    """
    async with open_gateway(session.config, may_begin=True, replaces_database=new) as gateway:
        done = gateway.migrated
        session.record(
            {
                "database": gateway.database.dialect,
                "applied": list(done.revisions),
                "backup": None if done.backup is None else str(done.backup),
            }
        )
