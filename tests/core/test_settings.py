"""gateway.toml and the environment become one frozen Settings, or one list of problems."""

import contextlib
import enum
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec import Meta
from rich.console import Console
from sqlalchemy.engine import make_url

from gateway.errors import SettingsError
from gateway.settings import (
    Check,
    DatabaseTable,
    DeliveryTable,
    GatewayTable,
    HttpTable,
    LimitsTable,
    RedisTable,
    RetentionTable,
    SecurityTable,
    Settings,
    SiteTable,
    absolute_url,
    load_settings,
    parse_settings,
    read_table,
)

HOME = Path("/etc/gw").absolute()


def parse(text: str, directory: Path = HOME, **environ: str) -> Settings:
    return parse_settings(
        text, source=directory / "gateway.toml", directory=directory, environ=environ
    )


def problems_of(text: str, directory: Path = HOME, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        parse(text, directory, **environ)
    return [problem.message.removeprefix("gateway.toml: ") for problem in raised.value.details]


# What holds when nothing is said


def test_an_empty_file_means_what_the_contract_says():
    settings = parse("")
    assert settings.gateway == GatewayTable(
        host="127.0.0.1",
        port=8080,
        public_url="http://localhost:8080",
        data_dir=HOME / "data",
    )
    assert make_url(settings.database.url).database == (HOME / "data/gateway.db").as_posix()
    assert settings.http == HttpTable(
        tls_cert=None,
        tls_key=None,
        trusted_proxies=(),
        header_timeout_seconds=10,
        body_timeout_seconds=20,
        body_min_bytes_per_second=500,
        keep_alive_seconds=75,
        max_connections=1000,
        max_connections_per_address=200,
        max_waiting_requests=200,
        max_anonymous_body_bytes=16_000_000,
        failed_keys_per_minute=60,
    )
    assert settings.redis is None
    assert settings.delivery == DeliveryTable(
        allow_http=False,
        allow_networks=(),
        timeout_seconds=15,
        retry_schedule_seconds=(5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800),
        give_up_after_seconds=86400,
        lease_margin_seconds=45,
    )
    assert settings.limits == LimitsTable(
        orders_requests_per_minute=600,
        orders_per_hour=10000,
        orders_per_batch=100,
        reads_per_minute=60,
        updates_requests_per_minute=600,
    )
    assert settings.retention == RetentionTable(
        enabled=True, payload_days=90, metadata_days=730, log_days=30
    )
    assert settings.security == SecurityTable(master_key=None)
    assert (settings.sites, settings.plugins, settings.disabled_plugins) == ((), {}, ())
    assert settings.source == HOME / "gateway.toml"


def test_the_database_default_written_on_the_struct_is_the_contracts():
    assert DatabaseTable().url == "sqlite+aiosqlite:///data/gateway.db"
    assert Settings() == Settings(database=DatabaseTable(), gateway=GatewayTable())


def test_a_database_that_is_not_named_lives_in_the_data_dir():
    settings = parse("[gateway]\ndata_dir = '../state'")
    assert settings.gateway.data_dir == HOME / "../state"
    assert make_url(settings.database.url).database == (HOME / "../state/gateway.db").as_posix()


def test_no_file_means_defaults_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})
    assert settings.source is None
    assert settings.gateway.data_dir == Path.cwd() / "data"
    with pytest.raises(SettingsError, match=r"^the configuration has 1 problem: \[gateway\] port"):
        load_settings(None, {"GATEWAY_GATEWAY__PORT": "x"})


# What the file says


def test_tls_files_are_relative_to_the_file_and_come_in_pairs():
    settings = parse("[http]\ntls_cert = 'tls/cert.pem'\ntls_key = '/k.pem'")
    assert settings.http.tls_cert == HOME / "tls/cert.pem"
    assert settings.http.tls_key == Path("/k.pem")
    assert problems_of("[http]\ntls_cert = 'c.pem'") == [
        "[http] tls_key: missing; tls_cert needs it (gateway tls init makes both)"
    ]


def test_a_whole_file_is_read(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_bytes(
        b"\xef\xbb\xbf"  # as Windows editors write it
        b"[gateway]\r\nport = 0\r\npublic_url = 'https://gw.example/base'\r\n[redis]\r\nurl = 'redis://h/0'\r\n"
        b"[delivery]\r\nallow_networks = ['127.0.0.0/8', '::1/128']\r\ntimeout_seconds = 2\r\n"
        b"[[sites]]\r\ncode = 'main'\r\nname = 'Lakeside'\r\ntimezone = 'America/Toronto'\r\n"
        b"country = 'CA'\r\n[plugins.csv]\r\n[plugins.off]\r\nenabled = false\r\n"
        b"[plugins.b]\r\nenabled = true\r\n[[plugins.b.shops]]\r\ndomain = 'x'\r\n"
    )
    settings = load_settings(path, {})
    assert settings.gateway.port == 0
    assert settings.gateway.public_url == "https://gw.example/base"
    assert settings.redis == RedisTable(url="redis://h/0")
    assert settings.delivery.allow_networks == ("127.0.0.0/8", "::1/128")
    assert settings.sites == (
        SiteTable(code="main", name="Lakeside", timezone="America/Toronto", country="CA"),
    )
    assert settings.sites[0].account == "default"
    assert list(settings.plugins.items()) == [("csv", {}), ("b", {"shops": [{"domain": "x"}]})]
    assert settings.disabled_plugins == ("off",)
    assert (settings.source, settings.directory, settings.file) == (path, tmp_path, "gateway.toml")


def test_every_problem_is_reported_at_once():
    with pytest.raises(SettingsError) as raised:
        parse("[delivery]\ntimeout_seconds = 'x'\nallow_htpp = true\n[[sites]]\ncode = 'a'")
    assert raised.value.message == (
        "gateway.toml has 3 problems: "
        "[delivery] allow_htpp: unknown key; did you mean allow_http?; "
        "[delivery] timeout_seconds: expected a number, got text; "
        "[[sites]] #1 name: missing; expected text"
    )
    assert [(problem.field, problem.message) for problem in raised.value.details][1:] == [
        (
            "[delivery] timeout_seconds",
            "gateway.toml: [delivery] timeout_seconds: expected a number, got text",
        ),
        ("[[sites]] #1 name", "gateway.toml: [[sites]] #1 name: missing; expected text"),
    ]


WRONG_LINES = """
gateway | port = 65536 | port: expected a whole number, at least 0 and at most 65535
gateway | port = 1.5 | port: expected a whole number, got a number
gateway | port = true | port: expected a whole number, got true or false
gateway | host = '' | host: expected text that is not empty
gateway | host = 2026-01-01 | host: expected text, got a date
gateway | host = nan | host: expected text, got a number
gateway | host = {a = 1} | host: expected text, got a table
gateway | data_dir = '' | data_dir: expected a path that is not empty
gateway | data_dir = 3 | data_dir: expected a path, got a whole number
gateway | public_url = 'gw' | public_url: expected an address such as https://gateway.example.com
gateway | public_url = 'https://u:p@h' | public_url: expected an address such as https://
gateway | public_url = 'https://h:x' | public_url: expected an address such as https://
redis |  | url: missing; expected text
redis | url = 'h:6379' | url: expected a URL that starts with redis:// (or rediss:// for TLS,
delivery | timeout_seconds = 0 | timeout_seconds: expected a number, above 0 and at most 120
delivery | timeout_seconds = nan | timeout_seconds: expected a finite number
delivery | give_up_after_seconds = inf | give_up_after_seconds: expected a finite number
delivery | lease_margin_seconds = 5 | lease_margin_seconds: expected a number, at least 6 and at
delivery | retry_schedule_seconds = [5, 0] | retry_schedule_seconds #2: expected a number, above 0
delivery | retry_schedule_seconds = 5 | retry_schedule_seconds: expected a list, got a whole number
delivery | allow_networks = ['10.0.0.1/8'] | allow_networks #1: expected a network such as 192.168
limits | reads_per_minute = 0 | reads_per_minute: expected a whole number, at least 1
gateway | "a\\nb" = 0 | "a\\nb": unknown key; known here: host, port, public_url, data_dir
security | master_key = '' | master_key: expected text that is not empty
plugins | csv = true | [plugins.csv]: expected a table, got true or false
plugins.csv | enabled = 'no' | enabled: expected true or false, got text
"""


@pytest.mark.parametrize("wrong", WRONG_LINES.strip().splitlines())
def test_a_problem_names_table_key_and_what_was_expected(wrong):
    heading, line, expected = wrong.split(" | ")
    [problem] = problems_of(f"[{heading}]\n{line}")
    assert problem.startswith(expected if expected[0] == "[" else f"[{heading}] {expected}")


WRONG_SITES = """
code = 'A' | code: expected at most 40 lower-case letters, digits, hyphens and underscores, a letter
code = "a\\n" | code: expected at most 40 lower-case letters, digits, hyphens and underscores
timezone = 'America' | timezone: expected a time zone such as America/Toronto
timezone = '../x' | timezone: expected a time zone such as America/Toronto
country = 'ca' | country: expected two capital letters such as US or CA
"""


@pytest.mark.parametrize("wrong", WRONG_SITES.strip().splitlines())
def test_a_problem_with_a_site_names_its_number(wrong):
    line, expected = wrong.split(" | ")
    code = "" if line.startswith("code") else "code = 'b'"
    [problem] = problems_of(
        f"[[sites]]\ncode = 'main'\nname = 'n'\n[[sites]]\n{code}\nname = 'n'\n{line}"
    )
    assert problem.startswith(f"[[sites]] #2 {expected}")


TABLES = (
    "[gateway], [http], [database], [redis], [delivery], [limits], [retention], [files], "
    "[security], [people], [dashboard], [logging], [tracing], [audit], [plans], [accounts], "
    "[[sites]], [plugins]"
)
WRONG_TABLES = f"""
[sites] | sites: expected a list of tables, each headed by double brackets, got a table
sites = ['a'] | [[sites]] #1: expected a table, got text
[delivry] | [delivry]: unknown table; did you mean [delivery]?
[site] | [site]: unknown table; did you mean [[sites]]?
gateway = 1 | [gateway]: expected a table, got a whole number
plugins = 1 | [plugins]: expected a table, got a whole number
xyz = 1 | xyz: unknown key; known here: {TABLES}
"""


@pytest.mark.parametrize("wrong", WRONG_TABLES.strip().splitlines())
def test_a_problem_with_a_whole_table_names_it_as_given_in_the_file(wrong):
    line, expected = wrong.split(" | ")
    assert problems_of(line) == [expected]


def test_a_site_code_names_one_site_and_is_reported_beside_other_problems():
    sites = (
        "[[sites]]\ncode = 'a'\nname = 'n'\n[[sites]]\ncode = 'a'\nname = 3\n[[sites]]\ncode = 1"
    )
    assert problems_of(sites) == [
        "[[sites]] #2 code: [[sites]] #1 has the same code; each site needs its own",
        "[[sites]] #2 name: expected text, got a whole number",
        "[[sites]] #3 code: expected text, got a whole number",
        "[[sites]] #3 name: missing; expected text",
    ]


QUOTES = "text needs quotes around it, true and false are written small"
KEY_TWICE = "this key stands in the table twice: keep one of the two lines"
TABLE_TWICE = "this table stands in the file twice: put all its keys under one heading"
WINDOWS = "put a Windows path between single quotes"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gateway]\nhost = abc", f"line 2, column 8: invalid value; {QUOTES}"),
        ("[delivery]\nallow_http = True", f"line 2, column 14: invalid value; {QUOTES}"),
        (
            '[gateway]\nhost = "abc\nport = 1',
            "line 2, column 12: illegal character '\\n'; the quote that ends the text is missing",
        ),
        ("[gateway]\nhost = 'abc", 'line 2, column 12: expected "\'"'),
        (
            "[delivery]\nallow_http = true\nallow_http = true",
            f"line 3, column 18: cannot overwrite a value; {KEY_TWICE}",
        ),
        (
            "[limits]\n[delivery]\n[limits]",
            f"line 3, column 8: cannot declare ('limits',) twice; {TABLE_TWICE}",
        ),
        ('a = "C:\\Users"', f"line 1, column 10: invalid hex value; {WINDOWS}"),
        ('a = "C:\\data"', f"line 1, column 10: unescaped '\\' in a string; {WINDOWS}"),
        ("a = " + "[" * 5000, "a value: lists and tables are nested too deep"),
        ("a = " + "9" * 5000, "a number: expected fewer digits"),
    ],
)
def test_a_syntax_error_is_one_line_with_its_place(text, problem):
    with pytest.raises(SettingsError) as raised:
        parse(text)
    assert raised.value.message == f"gateway.toml has 1 problem: {problem}"
    assert [each.message for each in raised.value.details] == [f"gateway.toml: {problem}"]


def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path):
    path = tmp_path / "gateway.toml"
    with pytest.raises(SettingsError) as raised:
        load_settings(path, {})
    assert raised.value.message == (
        f"{path} can't be read: no such file or directory; "
        "name another file with --config, or write one with gateway init"
    )
    path.write_bytes(b"[gateway]\nhost = '\xff'")
    with pytest.raises(SettingsError, match="line 2: expected UTF-8 text; save the file in that"):
        load_settings(path, {})


# Databases


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p@h/d", "a URL that starts with postgresql+asyncpg:// (put that before"),
        ("postgresql://h/d", "a URL that starts with postgresql+asyncpg:// (put that before"),
        ("postgresql+psycopg://h/d", "a URL that starts with postgresql+asyncpg:// (put that"),
        ("sqlite:///x.db", "a URL that starts with sqlite+aiosqlite:/// (put that before"),
        ("mysql://h/d", "a URL that starts with sqlite+aiosqlite:/// or postgresql+asyncpg://"),
        ("data/gateway.db", "a URL that starts with sqlite+aiosqlite:/// or postgresql+asyncpg://"),
        ("postgresql+asyncpg://h:port/d", "a URL such as postgresql+asyncpg://user:password@host"),
        ("sqlite+aiosqlite://data/x.db", "three slashes and a path behind sqlite+aiosqlite: (four"),
        ("sqlite+aiosqlite:///", "three slashes and a path behind sqlite+aiosqlite: (four when"),
    ],
)
def test_a_database_url_of_another_driver_is_refused_with_the_right_one(url, expected):
    [problem] = problems_of(f"[database]\nurl = '{url}'")
    assert problem.startswith(f"[database] url: expected {expected}")
    assert url not in problem


@pytest.mark.parametrize(
    ("directory", "url", "path"),
    [
        (PurePosixPath("/etc/gw"), "data/x.db", "/etc/gw/data/x.db"),
        (PurePosixPath("/etc/gw"), "/var/x.db", "/var/x.db"),
        (PurePosixPath("/a b/50%/é#?+"), "x.db", "/a b/50%/é#?+/x.db"),
        (PureWindowsPath("C:\\Program Files\\gw"), "data/x.db", "C:/Program Files/gw/data/x.db"),
        (PureWindowsPath("C:\\gw"), "data\\x.db", "C:/gw/data/x.db"),
        (PureWindowsPath("C:\\gw"), "D:/rx/x.db", "D:/rx/x.db"),
        (PureWindowsPath("C:\\gw"), "D:\\rx\\x.db", "D:/rx/x.db"),
        (PureWindowsPath("\\\\server\\share"), "x.db", "//server/share/x.db"),
    ],
)
def test_an_sqlite_path_becomes_absolute_on_every_system(directory, url, path):
    absolute = absolute_url(f"sqlite+aiosqlite:///{url}?timeout=3", directory)
    assert make_url(absolute).database == path
    assert dict(make_url(absolute).query) == {"timeout": "3"}
    assert absolute_url(absolute, directory) == absolute


def test_a_windows_drive_stays_readable():
    absolute = absolute_url("sqlite+aiosqlite:///data/x.db", PureWindowsPath("C:\\gw"))
    assert absolute == "sqlite+aiosqlite:///C:/gw/data/x.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:x?mode=memory&uri=true",
        "postgresql+asyncpg://u:p%40@h:5432/d?ssl=require",
    ],
)
def test_a_url_without_a_path_stays_as_it_is(url):
    assert parse(f"[database]\nurl = '{url}'").database.url == url


# Values from elsewhere


def test_any_value_may_come_from_the_environment_or_a_file(tmp_path):
    (tmp_path / "redis").write_text("redis://:pw@h/0\r\n")
    settings = parse(
        "[gateway]\nport = {env = 'PORT'}\ndata_dir = {env = 'DIR'}\n"
        "[redis]\nurl = {file = 'redis'}\n"
        "[delivery]\nallow_http = {env = 'HTTP'}\nallow_networks = [{env = 'NET'}]\n"
        "retry_schedule_seconds = {env = 'RETRY'}\n"
        "[security]\nmaster_key = {env = 'KEY'}\n"
        "[plugins.shop]\n[[plugins.shop.shops]]\nid = 1\nsecret = {env = 'KEY'}\n"
        "[plugins.file]\nfile = 'a reference needs a key'\n",
        tmp_path,
        PORT="81",
        DIR="d",
        HTTP="True",
        NET="10.0.0.0/8",
        RETRY="[1, 2.5]",
        KEY='"007"',
    )
    assert (settings.gateway.port, settings.gateway.data_dir) == (81, tmp_path / "d")
    assert settings.redis == RedisTable(url="redis://:pw@h/0")
    assert settings.delivery.allow_http is True
    assert settings.delivery.allow_networks == ("10.0.0.0/8",)
    assert settings.delivery.retry_schedule_seconds == (1, 2.5)
    assert settings.security.master_key == '"007"'
    assert type(settings.security.master_key) is str
    assert settings.plugins["shop"] == {"shops": [{"id": 1, "secret": '"007"'}]}


def test_a_reference_that_leads_nowhere_is_named_once(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert problems_of(
        "[database]\nurl = {env = 'DB'}\n[redis]\nurl = {file = 'gone'}\n"
        "[delivery]\nallow_networks = [{file = 'bytes'}, {file = \"\\u0000\"}]\n"
        "[plugins.shop]\nkey = {env = ''}\n[[plugins.shop.shops]]\nsecret = {env = 'S'}",
        tmp_path,
    ) == [
        '[plugins.shop] key: the environment variable "" is not set',
        "[[plugins.shop.shops]] #1 secret: the environment variable S is not set",
        "[database] url: the environment variable DB is not set",
        "[redis] url: the file gone can't be read: no such file or directory",
        "[delivery] allow_networks #1: the file bytes can't be read: it isn't UTF-8 text",
        (
            '[delivery] allow_networks #2: the file "\\u0000" can\'t be read: '
            "no file can have this name"
        ),
    ]


def test_what_a_disabled_plugin_refers_to_need_not_exist():
    text = "[plugins.shop]\nenabled = {env = 'ON'}\nsecret = {env = 'GONE'}"
    assert parse(text, ON="false").disabled_plugins == ("shop",)
    [problem] = parse(text, ON="true").plugin_problems["shop"]
    assert problem.message.endswith(
        "[plugins.shop] secret: the environment variable GONE is not set"
    )
    assert len(problems_of(text)) == 1


def test_the_environment_overrides_the_file():
    settings = parse(
        "[gateway]\nport = 1\n[plugins.my-csv]\nfolder = 'a'\n[plugins.off]\n",
        GATEWAY_CONFIG="a__b.toml",
        GATEWAY_HOME="ignored",
        GATEWAY_GATEWAY__PORT="81",
        GATEWAY_GATEWAY__HOST="'::1'",
        GATEWAY_REDIS__URL="redis://h/0",
        GATEWAY_DELIVERY__ALLOW_HTTP="1",
        GATEWAY_DELIVERY__RETRY_SCHEDULE_SECONDS="[1]",
        GATEWAY_LIMITS__READS_PER_MINUTE=" 1_000 ",
        GATEWAY_SECURITY__MASTER_KEY="1e9",
        GATEWAY_PLUGINS__MY_CSV__FOLDER="b",
        GATEWAY_PLUGINS__MY_CSV__DEEP__KEY="2",
        GATEWAY_PLUGINS__OFF__ENABLED="false",
        GATEWAY_PLUGINS__NEW="{a = {env = 'A'}}",
        GATEWAY_PLUGINS__NEW__B="3",
        A="x",
    )
    assert (settings.gateway.host, settings.gateway.port) == ("::1", 81)
    assert settings.redis == RedisTable(url="redis://h/0")
    assert settings.delivery.allow_http is True
    assert settings.delivery.retry_schedule_seconds == (1,)
    assert settings.limits.reads_per_minute == 1000
    assert settings.security.master_key == "1e9"
    assert settings.disabled_plugins == ("off",)
    assert list(settings.plugins) == ["my-csv", "new"]
    assert settings.plugins["my-csv"] == {"folder": "b", "deep": {"key": "2"}}
    assert settings.plugins["new"] == {"a": "x", "b": "3"}


def test_an_override_that_is_wrong_is_named():
    assert problems_of(
        "[[sites]]\ncode = 'a'\nname = 'n'",
        GATEWAY_DELIVERY__TIMEOUT="1",
        GATEWAY_DELIVERY__TIMEOUT_SECONDS="soon",
        GATEWAY_DELIVERY__GIVE_UP_AFTER_SECONDS="0",
        GATEWAY_DELIVERY__ALLOW_NETWORKS="[1]",
        GATEWAY_REDIS__="x",
        GATEWAY_SITES__CODE="b",
        GATEWAY_SIITES__CODE="b",
    ) == [
        "GATEWAY_REDIS__: expected a name such as GATEWAY_DATABASE__URL",
        "GATEWAY_SITES__CODE: sites is no table, so a variable can't reach into it",
        "[siites]: unknown table; did you mean [[sites]]? (from GATEWAY_SIITES__CODE)",
        (
            "[delivery] timeout: unknown key; did you mean timeout_seconds? "
            "(from GATEWAY_DELIVERY__TIMEOUT)"
        ),
        (
            "[delivery] allow_networks #1: expected text, got a whole number "
            "(from GATEWAY_DELIVERY__ALLOW_NETWORKS)"
        ),
        (
            "[delivery] timeout_seconds: expected a number, got text "
            "(from GATEWAY_DELIVERY__TIMEOUT_SECONDS)"
        ),
        (
            "[delivery] give_up_after_seconds: expected a number, above 0 "
            "(from GATEWAY_DELIVERY__GIVE_UP_AFTER_SECONDS)"
        ),
    ]


def test_a_variable_must_be_text():
    assert problems_of(
        "[redis]\nurl = {env = 'R'}", R="\udcff", GATEWAY_GATEWAY__HOST="\udcff"
    ) == [
        "GATEWAY_GATEWAY__HOST: expected UTF-8 text",
        "[redis] url: the environment variable R isn't UTF-8 text",
    ]


# Secrets


def test_no_secret_is_shown_by_repr_or_by_rich():
    settings = parse(
        "[database]\nurl = 'postgresql+asyncpg://u:hush?1/#@h/d?password=hush'\n"
        "[redis]\nurl = 'redis://:hush%2F@h/0?password=hush'\n"
        "[security]\nmaster_key = 'hush'\n[plugins.shop]\nsecret = 'hush'",
    )
    out = io.StringIO()
    Console(file=out, width=200).print(settings, settings.redis, settings.database)
    for shown in (repr(settings), str(settings), out.getvalue()):
        assert "hush" not in shown
        assert "redis://***@h/0" in shown
        assert "postgresql+asyncpg://***" in shown
        assert "shop" in shown
    assert repr(settings.security) == "SecurityTable(master_key='***')"
    assert repr(SecurityTable()) == "SecurityTable(master_key=None)"
    assert repr(RedisTable(url="redis://h/0")) == "RedisTable(url='redis://h/0')"


@pytest.mark.slow
@examples(deadline=None)  # a busy machine is no failure
@given(st.text(), st.sampled_from(["database", "redis"]))
def test_no_message_repeats_a_value(tail, table):
    secret = "postgresql://user:hush" + "".join(c for c in tail if c.isalnum())
    with pytest.raises(SettingsError) as raised:
        parse(f"[{table}]\nurl = '{secret}'\n[gateway]\nport = '{secret}'")
    assert "hush" not in "".join(problem.message for problem in raised.value.details)
    assert "hush" not in str(raised.value)


# A plugin's own table


class Writer(enum.Enum):
    AGENT = "agent"
    HTTP = "http"


def _even(number: int) -> str | None:
    return "an even number" if number % 2 else None


class Shop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    domain: str
    api_key: str | None = None
    tags: dict[str, int] = {}


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seconds: Annotated[float, Meta(gt=0)] = 1.0


class ShopSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    folder: Path = Path("in")
    shops: Annotated[tuple[Shop, ...], Meta(max_length=2)] = ()
    retry: Retry = Retry()
    writer: Writer = Writer.AGENT
    mode: Literal["a", "b"] = "a"
    pair: tuple[int, str] | None = None
    names: frozenset[str] = frozenset()
    batch: Annotated[int, Check(_even)] = 2
    either: Annotated[int | str, Meta(description="a number or a name")] = 1
    extra: dict[str, Any] = {}

    def __post_init__(self):
        if self.mode == "b" and self.writer is Writer.AGENT:
            raise ValueError
        if self.retry.seconds > self.batch:
            raise ValueError("batch: must exceed the pause\nthe pause is too long")


def read(text: str, **environ: str) -> ShopSettings:
    settings = parse(text, **environ)
    return read_table(
        settings.plugins["shop"],
        ShopSettings,
        where="plugins.shop",
        file=settings.file,
        directory=settings.directory,
    )


def test_a_plugin_reads_its_own_table():
    assert read(
        "[plugins.shop]\nfolder = 'csv'\nwriter = 'http'\nmode = 'b'\npair = [1, 'x']\n"
        "names = ['n']\nretry = {seconds = 2}\nextra = {a = [{env = 'A'}]}\n"
        "[[plugins.shop.shops]]\ndomain = 'd'\napiKey = {env = 'A'}\ntags = {t = 1}",
        A="1",
        GATEWAY_PLUGINS__SHOP__BATCH="4",
        GATEWAY_PLUGINS__SHOP__EITHER="5",
        GATEWAY_PLUGINS__SHOP__EXTRA__B="6",
    ) == ShopSettings(
        folder=HOME / "csv",
        shops=(Shop("d", "1", {"t": 1}),),
        retry=Retry(2),
        writer=Writer.HTTP,
        mode="b",
        pair=(1, "x"),
        names=frozenset({"n"}),
        batch=4,
        either=5,
        extra={"a": ["1"], "b": 6},
    )
    assert read("[plugins.shop]") == ShopSettings(folder=HOME / "in")
    assert read_table({"folder": "x"}, ShopSettings, where="[x]", file="f").folder == Path("x")


def test_every_wrong_key_of_a_plugin_is_named_at_any_depth():
    with pytest.raises(SettingsError) as raised:
        read(
            "[plugins.shop]\nwriter = 1\nmode = 'c'\npair = [1]\nnames = [1]\nbatch = 3\n"
            "either = true\nextra = 1\n[plugins.shop.retry]\nseconds = 0\n"
            "[[plugins.shop.shops]]\ndomain = 1\n[[plugins.shop.shops]]\ntags = {x = 'y'}\nkey = 1"
        )
    assert raised.value.message.startswith("gateway.toml has 12 problems: [[plugins.shop")
    assert [problem.message.removeprefix("gateway.toml: ") for problem in raised.value.details] == [
        "[[plugins.shop.shops]] #1 domain: expected text, got a whole number",
        "[[plugins.shop.shops]] #2 key: unknown key; known here: domain, apiKey, tags",
        "[[plugins.shop.shops]] #2 domain: missing; expected text",
        "[[plugins.shop.shops]] #2 tags x: expected a whole number, got text",
        "[plugins.shop.retry] seconds: expected a number, above 0",
        '[plugins.shop] writer: expected one of "agent", "http"',
        '[plugins.shop] mode: expected one of "a", "b"',
        "[plugins.shop] pair: expected a list",
        "[plugins.shop] names #1: expected text, got a whole number",
        "[plugins.shop] batch: expected an even number",
        "[plugins.shop] either: expected a whole number or text, got true or false",
        "[plugins.shop.extra]: expected a table, got a whole number",
    ]


def test_a_list_may_be_too_long():
    with pytest.raises(SettingsError, match=r"\] shops: expected a list of tables.*at most 2$"):
        read("[plugins.shop]\nshops = [{}, {}, {}]")


def test_what_a_struct_says_of_itself_is_reported_line_by_line():
    with pytest.raises(SettingsError) as raised:
        read("[plugins.shop]\nretry = {seconds = 9}")
    assert [(problem.field, problem.message) for problem in raised.value.details] == [
        ("[plugins.shop] batch", "gateway.toml: [plugins.shop] batch: must exceed the pause"),
        ("[plugins.shop]", "gateway.toml: [plugins.shop]: the pause is too long"),
    ]


def test_a_struct_that_gives_no_reason_is_named_all_the_same():
    with pytest.raises(SettingsError, match=r": \[plugins.shop\]: these values don't go together$"):
        read("[plugins.shop]\nmode = 'b'")


def test_settings_go_to_another_process_whole():
    settings = parse("[plugins.shop]", GATEWAY_PLUGINS__SHOP__BATCH="x")
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings
    assert copy.plugins["shop"]["batch"].origin == "GATEWAY_PLUGINS__SHOP__BATCH"


# Whatever comes


KEYS = (
    st.sampled_from([*ShopSettings.__struct_fields__, "domain", "env", "file", "x y"]) | st.text()
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.datetimes()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@examples(deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_a_table_of_anything_is_read_or_refused_as_settings(table: Mapping[str, Any]):
    with contextlib.suppress(SettingsError):
        assert read_table(table, ShopSettings, where="plugins.shop", file="f").folder


def as_toml(value: object) -> str:
    match value:
        case dict():
            pairs = (f"{as_toml(key)} = {as_toml(inner)}" for key, inner in value.items())
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(map(as_toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False)
    return str(value).lower()


TABLE_NAMES = st.sampled_from(
    ["gateway", "database", "redis", "delivery", "limits", "security", "sites", "plugins", "x"]
)
CORE_KEYS = st.sampled_from(
    [
        "url",
        "port",
        "data_dir",
        "public_url",
        "allow_networks",
        "retry_schedule_seconds",
        "timeout_seconds",
        "master_key",
        "code",
        "name",
        "timezone",
        "country",
        "enabled",
        "env",
        "file",
    ]
)


@pytest.mark.slow
@examples(deadline=None)
@given(st.dictionaries(TABLE_NAMES, st.dictionaries(CORE_KEYS, VALUES) | VALUES))
def test_a_file_of_anything_is_settings_or_refused_as_settings(tables: Mapping[str, Any]):
    with contextlib.suppress(SettingsError):
        assert parse("\n".join(f"{name} = {as_toml(table)}" for name, table in tables.items()))


NAMES = st.sampled_from(
    [f"{table}__{key}".upper() for table in ("database", "redis") for key in ("url", "urls", "")]
    + ["GATEWAY__DATA_DIR", "GATEWAY__PUBLIC_URL", "GATEWAY__PORT", "SITES__0", "PLUGINS__A__B__C"]
    + ["DELIVERY__ALLOW_NETWORKS", "DELIVERY__RETRY_SCHEDULE_SECONDS", "PLUGINS__A__ENABLED", "A"]
)
URLS = st.sampled_from(["sqlite+aiosqlite:///", "postgresql+asyncpg://", "redis://", "https://"])


@examples(deadline=None)
@given(
    st.text(),
    st.dictionaries(
        NAMES.map("GATEWAY_{}".format),
        st.text(st.characters()) | st.builds(str.__add__, URLS, st.text(st.characters())),
    ),
)
def test_any_text_and_environment_are_settings_or_refused_as_settings(text, environ):
    for each in ("", text):
        with contextlib.suppress(SettingsError):
            assert parse(each, **environ).source


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            "[retention]\npayload_days = 90\nmetadata_days = 30",
            "[retention] metadata_days: expected at least payload_days, or 0 for ever",
        ),
        (
            "[delivery]\nretry_schedule_seconds = []",
            "[delivery] retry_schedule_seconds: expected a list with at least one entry",
        ),
    ],
)
def test_settings_that_cannot_work_together_are_refused(toml, problem):
    assert problems_of(toml) == [problem]


def test_rows_that_are_kept_for_ever_may_be_erased_first():
    table = parse("[retention]\npayload_days = 90\nmetadata_days = 0").retention
    assert (table.payload_days, table.metadata_days) == (90, 0)
