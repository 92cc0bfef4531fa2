"""``gateway migrate``: the schema, brought up to date."""

from gateway.sdk.cli import Session, command


@command("migrate")
async def migrate(session: Session) -> None:
    """Bring the database to what this version needs; a SQLite file is copied aside first.

    Every other command does the same by itself; this one only says what was done.
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
