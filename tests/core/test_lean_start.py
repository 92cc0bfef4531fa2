"""A start imports no more than taking orders needs: megabytes, and time at each start.

What is imported later comes with the first file, page, passkey, token of a provider, scrape …
"""

import subprocess
import sys
from importlib import resources
from pathlib import Path

from gateway.testing.schema import migrated_file

ABSENT = (
    "aiosmtplib", "alembic", "cryptography.x509", "difflib", "dramatiq",
    "encodings.idna", "fido2", "gateway.http.docs.page", "gateway_csv.commands",
    "gateway_csv.folder", "gateway_csv.importer", "gateway_csv.mapping", "gateway_reports.commands",
    "gateway_rx_queue.commands", "gateway_shopify.commands", "gateway_webhooks.commands",
    "jinja2", "joserfc", "limits",
    "phonenumbers", "prometheus_client", "python_calamine", "rapidfuzz", "redis", "segno",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "statistics",
)  # fmt: skip

TABLES = ("gateway_csv", "gateway_reports", "gateway_rx_queue", "gateway_shopify")

START = """
import asyncio, sys
from pathlib import Path
from gateway.cli import serve
from gateway.http.app import create_app
from gateway.runtime import Gateway
from gateway.settings import parse_settings

async def start():
    names = "csv json_api webhooks reports rx_queue shopify".split()
    toml = "".join(f"[plugins.{each}]\\n" for each in names)
    settings = parse_settings(toml, source=None, directory=Path(sys.argv[1]), environ={})
    async with Gateway(settings) as gateway:
        create_app(gateway)
        serve._listener(settings, None, 0).close()
        async with gateway.running():
            print(*(each for each in sys.argv[2:] if each in sys.modules))

asyncio.run(start())
"""


def test_a_start_imports_nothing_that_is_needed_later_or_never(tmp_path):
    (tmp_path / "data").mkdir()
    made = migrated_file(tuple(Path(str(resources.files(each))) / "migrations" for each in TABLES))
    (tmp_path / "data" / "gateway.db").write_bytes(made)
    done = subprocess.run(
        [sys.executable, "-c", START, tmp_path, *ABSENT],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.strip() == ""


def test_the_orm_that_no_start_imports_is_there_for_a_plugin():
    code = (
        "import sys, gateway; from sqlalchemy.ext import asyncio;"
        "before = 'sqlalchemy.orm' in sys.modules;"
        "from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker;"
        "from sqlalchemy.ext.asyncio.session import AsyncSession as same;"
        "print(before, AsyncSession is same, asyncio.AsyncSession is same)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split() == ["False", "True", "True"]
