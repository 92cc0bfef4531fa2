"""Where the log goes, and what stays out of it."""

import logging


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send the log to stderr, one line an entry; stdout stays for data."""
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    # Statements and their parameters are nobody's business in a log.
    for name in ("sqlalchemy", "alembic", "aiosqlite", "asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
