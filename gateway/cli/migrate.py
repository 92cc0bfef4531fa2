"""``gateway migrate``: update the database schema."""

from gateway.sdk.cli import Session, command


@command("migrate")
async def migrate(session: Session) -> None:
    """Update the database schema to this version; a SQLite file is backed up first.

    Every command that opens the database does the same; this one reports it.
    """
    async with session.gateway() as gateway:
        done = gateway.migrated
        session.record(
            {
                "database": gateway.database.dialect,
                "applied": list(done.revisions),
                "backup": None if done.backup is None else str(done.backup),
            }
        )
