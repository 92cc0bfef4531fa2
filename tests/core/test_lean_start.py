"""A start imports no more than taking orders needs: megabytes, and time at each start.

What is imported later comes with the first file, page, passkey, token of a provider, scrape …
The environment of these tests has libraries that an installation has not.
"""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from gateway.testing.schema import migrated_file

ABSENT = (
    "aiosmtplib", "alembic", "attr", "configparser", "cryptography.x509",
    "difflib", "dramatiq", "encodings.idna", "fido2", "gateway.http.docs.page",
    "gateway_csv.commands", "gateway_csv.folder", "gateway_csv.importer", "gateway_csv.mapping",
    "gateway_reports.commands", "gateway_rx_queue.commands", "gateway_shopify.commands",
    "gateway_webhooks.commands", "html", "jinja2", "joserfc", "logging.config",
    "multiprocessing", "opentelemetry", "pdb", "phonenumbers", "prometheus_client", "psutil",
    "pydantic", "python_calamine", "rapidfuzz", "redis", "segno", "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm", "statistics", "uvicorn.main", "yaml",
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


def test_the_redis_client_comes_without_that_of_a_cluster_and_without_opentelemetry():
    found = printed(
        "import sys, gateway, redis, redis.asyncio;"
        "print(*(each for each in ('opentelemetry', 'redis.cluster', 'redis.asyncio.cluster',"
        "'redis.commands.cluster',"
        "'redis.keyspace_notifications', 'redis.sentinel') if each in sys.modules))"
    )
    assert found == []


def test_postgresql_comes_without_its_catalog_and_the_dialects_of_other_drivers():
    found = printed(
        "import sys, gateway, asyncpg, sqlalchemy.dialects.postgresql.asyncpg as one;"
        "print(*(each for each in ('configparser', 'getpass', *("
        "'sqlalchemy.dialects.postgresql.' + each for each in "
        "('pg8000', 'pg_catalog', 'psycopg', 'psycopg2'))) if each in sys.modules))"
    )
    assert found == []


@pytest.mark.parametrize(
    ("driver", "dialect"),
    [
        ("", "PGDialect_psycopg"),
        ("+asyncpg", "PGDialect_asyncpg"),
        ("+pg8000", "PGDialect_pg8000"),
        ("+psycopg", "PGDialect_psycopg"),
        ("+psycopg_async", "PGDialectAsync_psycopg"),
        ("+psycopg2", "PGDialect_psycopg2"),
    ],
)
def test_sqlalchemy_finds_the_dialect_of_each_driver_of_postgresql(driver, dialect):
    found = printed(
        "import gateway; from sqlalchemy import make_url;"
        f"print(make_url('postgresql{driver}://').get_dialect().__name__)"
    )
    assert found == [dialect]


def test_the_catalog_of_postgresql_is_there_for_who_looks_into_a_database():
    found = printed(
        "import gateway; from sqlalchemy import select;"
        "from sqlalchemy.dialects.postgresql import base, pg_catalog;"
        "print(base.pg_catalog.pg_class is pg_catalog.pg_class)"
    )
    assert found == ["True"]


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("sqlalchemy.ext.asyncio", "sqlalchemy.ext.asyncio.session", "AsyncSession"),
        ("sqlalchemy.ext.asyncio", "sqlalchemy.ext.asyncio.scoping", "async_scoped_session"),
        ("redis", "redis.cluster", "RedisCluster"),
        ("redis.commands", "redis.commands.cluster", "READ_COMMANDS"),
        ("redis.asyncio", "redis.asyncio.cluster", "RedisCluster"),
        ("uvicorn", "uvicorn.main", "run"),
    ],
)
def test_what_no_start_imports_is_there_when_it_is_asked_for(package, module, name):
    found = printed(
        f"import sys, importlib, gateway; package = importlib.import_module({package!r});"
        f"before = {module!r} in sys.modules; from {package} import {name} as one;"
        f"from {module} import {name} as same; print(before, one is same, package.{name} is same)"
    )
    assert found == ["False", "True", "True"]


def test_a_module_that_was_left_out_can_be_read_as_an_attribute_of_its_package():
    found = printed(
        "import sys, gateway, redis, logging, uvicorn.config;"
        "print(redis.cluster.RedisCluster.__name__, callable(logging.config.dictConfig),"
        "'redis.cluster' in sys.modules)"
    )
    assert found == ["RedisCluster", "True", "True"]


def test_a_name_that_a_package_never_had_is_reported_as_ever():
    found = printed(
        "import gateway, redis\ntry:\n  redis.nonsense\nexcept AttributeError as error:\n"
        "  print(error)"
    )
    assert " ".join(found) == "module 'redis' has no attribute 'nonsense'"


def test_what_litestar_imports_later_works_when_it_is_called():
    found = printed(
        "import gateway; from litestar.openapi.plugins import YamlRenderPlugin, yaml;"
        "from litestar.exceptions.responses._debug_response import escape;"
        "print(yaml.dump({'a': 1}).strip(), escape('<'))"
    )
    assert found == ["a:", "1", "&lt;"]


@pytest.mark.parametrize(("first", "served"), [("import pydantic", True), ("pass", False)])
def test_litestar_serves_pydantic_s_models_only_where_something_has_imported_them(first, served):
    found = printed(
        f"import gateway, sys\n{first}\nfrom litestar import Litestar\n"
        "app = Litestar([], openapi_config=None)\n"
        "print('pydantic' in sys.modules, any('Pydantic' in type(each).__name__ "
        "for each in app.plugins))"
    )
    assert found == [str(served), str(served)]


@pytest.mark.parametrize("before", ["pass", "app()"])
@pytest.mark.parametrize(
    ("wanted", "library"),
    [("litestar.plugins.pydantic", "pydantic"), ("litestar.plugins.attrs", "attr")],
)
def test_a_plugin_that_imports_litestar_s_support_of_a_library_finds_it(before, wanted, library):
    found = printed(
        "import gateway, sys\nfrom litestar import Litestar\n"
        "def app(): return Litestar([], openapi_config=None)\n"
        f"{before}\nprint({library!r} in sys.modules)\nimport {wanted}\n"
        f"print({library!r} in sys.modules, any('Pydantic' in type(each).__name__ "
        "for each in app().plugins))"
    )
    assert found == ["False", "True", str(library == "pydantic")]


def test_bounds_that_a_plugin_writes_with_annotated_types_are_read():
    found = printed(
        "import gateway.plugin, annotated_types\nfrom typing import Annotated\n"
        "from litestar.typing import FieldDefinition\n"
        "field = FieldDefinition.from_annotation(Annotated[int, annotated_types.Gt(3)])\n"
        "print(field.kwarg_definition.gt)"
    )
    assert found == ["3"]


def printed(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.split()
