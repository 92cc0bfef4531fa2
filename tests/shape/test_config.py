"""The profiles under config/ are ready to copy: they load, and fit each other and the code."""

import configparser
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner
from gateway_csv.settings import CsvSettings
from shape.tree import ROOT

from gateway.cli import main
from gateway.delivery import attempt as trying
from gateway.http import server
from gateway.runtime import Gateway
from gateway.settings import DeliveryTable, HttpTable, Settings, load_settings

CONFIG: Final = ROOT / "config"
PAGES: Final = (
    ROOT / "docs" / "how-to" / "run-as-a-service.md",
    ROOT / "docs" / "how-to" / "windows-and-macos.md",
    CONFIG / "windows" / "README.md",
    CONFIG / "compose" / "compose.yaml",
)
PROFILES: Final = sorted(CONFIG.glob("*/gateway.toml"))
ENVIRONMENT: Final = {
    "GATEWAY_DATABASE": "postgresql+asyncpg://rxgateway:secret@db.example.com:5432/rxgateway",
    "GATEWAY_REDIS": "rediss://:secret@redis.example.com:6379/0",
}


def profile(name: str) -> Settings:
    return load_settings(CONFIG / name / "gateway.toml", ENVIRONMENT)


def seconds_to_stop() -> float:
    """How long a gateway with default settings may take to end in peace."""
    return server._GRACE_SECONDS + DeliveryTable().timeout_seconds + trying.GRACE_SECONDS


class Unit(configparser.RawConfigParser):
    """A systemd unit file: keys keep their case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(name: str) -> Unit:
    parsed = Unit(strict=True)
    parsed.read_string((CONFIG / "systemd" / name).read_text("utf-8"))
    return parsed


SERVICE: Final = unit("rx-gateway.service")["Service"]
WORKER: Final = unit("rx-gateway-worker.service")["Service"]
BACKUP: Final = unit("rx-gateway-backup.service")["Service"]


def test_there_is_a_profile_for_each_way_to_run():
    assert [path.parent.name for path in PROFILES] == ["banner", "compose", "single-pharmacy"]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_a_profile_loads_with_every_plugin_it_names(path: Path):
    gateway = Gateway(load_settings(path, ENVIRONMENT))

    assert {each.name: each.problem for each in gateway.plugins if each.enabled} == {
        "json_api": None,
        "webhooks": None,
    }
    assert gateway.settings.sites
    assert not gateway.settings.delivery.allow_http


def test_one_pharmacy_needs_neither_postgresql_nor_redis():
    settings = profile("single-pharmacy")

    assert settings.database.url == "sqlite+aiosqlite:////var/lib/rx-gateway/gateway.db"
    assert settings.redis is None
    assert len(settings.sites) == 1


def test_a_banner_has_its_secrets_from_the_environment():
    settings = profile("banner")
    raw = tomllib.loads((CONFIG / "banner" / "gateway.toml").read_text("utf-8"))

    assert raw["database"] == {"url": {"env": "GATEWAY_DATABASE"}}
    assert raw["redis"] == {"url": {"env": "GATEWAY_REDIS"}}
    assert settings.database.url == ENVIRONMENT["GATEWAY_DATABASE"]
    assert settings.redis is not None
    assert settings.redis.url == ENVIRONMENT["GATEWAY_REDIS"]
    assert len(settings.sites) > 1


@pytest.mark.parametrize("name", ["single-pharmacy", "banner"])
def test_only_a_proxy_in_front_reaches_a_profile(name: str):
    assert profile(name).gateway.host == "127.0.0.1"


@pytest.mark.parametrize("name", ["single-pharmacy", "banner"])
def test_the_service_may_write_where_a_profile_keeps_its_data(name: str):
    assert profile(name).gateway.data_dir == Path("/var/lib", SERVICE["StateDirectory"])
    assert SERVICE["WorkingDirectory"] == BACKUP["ReadWritePaths"] == "/var/lib/rx-gateway"


def test_the_service_is_shut_in_and_starts_again():
    assert {key: SERVICE[key] for key in ("Restart", "User", "NoNewPrivileges", "UMask")} == {
        "Restart": "always",
        "User": "rx-gateway",
        "NoNewPrivileges": "yes",
        "UMask": "0077",
    }
    assert SERVICE["ProtectSystem"] == BACKUP["ProtectSystem"] == "strict"
    assert SERVICE["CapabilityBoundingSet"] == ""
    assert unit("rx-gateway.service")["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_service_is_given_the_time_to_finish_what_is_in_flight():
    assert int(SERVICE["TimeoutStopSec"]) >= seconds_to_stop()


def test_the_worker_differs_from_the_service_in_its_command_only():
    assert {key for key in {*SERVICE, *WORKER} if SERVICE.get(key) != WORKER.get(key)} == {
        "ExecStart"
    }
    assert shlex.split(WORKER["ExecStart"])[1] == "worker"


@pytest.mark.parametrize("service", [SERVICE, WORKER, BACKUP], ids=["service", "worker", "backup"])
def test_a_service_runs_a_command_that_there_is(service: configparser.SectionProxy):
    program, *words = shlex.split(service["ExecStart"])

    assert program.endswith("/.venv/bin/gateway")
    assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path):
    for path in (CONFIG / "systemd").glob("rx-gateway*"):
        text = re.sub(
            r"^ExecStart=\S+", f"ExecStart={sys.executable}", path.read_text(), flags=re.MULTILINE
        )
        (tmp_path / path.name).write_text(text, "utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_timer_starts_the_copy():
    # Without Unit= a timer starts the service of its own name.
    assert (CONFIG / "systemd" / "rx-gateway-backup.timer").exists()
    assert "Unit" not in unit("rx-gateway-backup.timer")["Timer"]
    assert BACKUP["ExecStart"].startswith(SERVICE["ExecStart"].partition(" ")[0] + " backup ")


def test_a_proxy_in_front_passes_on_to_where_the_gateway_listens():
    gateway = profile("single-pharmacy").gateway
    address = f"{gateway.host}:{gateway.port}"

    caddy = (CONFIG / "tls" / "Caddyfile").read_text("utf-8")
    nginx = (CONFIG / "tls" / "nginx.conf").read_text("utf-8")
    assert f"reverse_proxy {address}\n" in caddy
    assert f"    server {address};\n" in nginx


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_has_nothing_to_say_against_its_part(tmp_path: Path):
    # Without TLS: a certificate would have to be there to be looked at.
    text = (CONFIG / "tls" / "nginx.conf").read_text("utf-8")
    plain = re.sub(r"^ *ssl_certificate.*$", "", text, flags=re.MULTILINE)
    plain = plain.replace("listen 443 ssl", f"listen unix:{tmp_path}/s")
    (tmp_path / "part").write_text(plain.replace("listen 80", f"listen unix:{tmp_path}/p"))
    scratch = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {scratch} include part; }}"
    (tmp_path / "nginx.conf").write_text(whole)

    done = subprocess.run(
        ["nginx", "-t", "-q", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_a_proxy_is_trusted_to_name_its_clients_and_shows_no_metrics():
    proxies = {
        "Caddyfile": ("respond /metrics 404", "header Strict-Transport-Security"),
        "nginx.conf": (
            "location = /metrics {\n        return 404;",
            "add_header Strict-Transport-Security",
            "X-Forwarded-For $remote_addr;",
            "X-Forwarded-Proto $scheme;",
        ),
    }

    for name, expected in proxies.items():
        text = (CONFIG / "tls" / name).read_text("utf-8")
        assert [each for each in expected if each not in text] == []
    for name in ("single-pharmacy", "banner"):
        assert profile(name).http.trusted_proxies == ("127.0.0.1",)
    assert profile("compose").http.trusted_proxies == ("172.16.0.0/12",)


def test_nginx_keeps_connections_for_less_time_than_the_gateway():
    nginx = (CONFIG / "tls" / "nginx.conf").read_text("utf-8")
    [seconds] = re.findall(r"keepalive_timeout +(\d+)s; +#", nginx)

    assert int(seconds) < HttpTable().keep_alive_seconds


def test_the_proxies_take_the_largest_spreadsheet():
    largest = CsvSettings().max_file_bytes
    nginx = (CONFIG / "tls" / "nginx.conf").read_text("utf-8")
    caddy = (CONFIG / "tls" / "Caddyfile").read_text("utf-8")
    megabytes = [*re.findall(r"client_max_body_size +(\d\d+)m;", nginx)]
    megabytes += re.findall(r"max_size (\d+)MB", caddy)

    assert len(megabytes) == 2
    assert all(int(each) * 1_000_000 > largest for each in megabytes)


@pytest.mark.parametrize("service", [SERVICE, WORKER, BACKUP], ids=["service", "worker", "backup"])
def test_a_service_dumps_no_core_and_has_a_memory_limit(service: configparser.SectionProxy):
    assert service["LimitCORE"] == "0"
    assert service["MemoryMax"] in {"1G", "2G"}


def test_the_limit_of_open_files_has_room_for_all_connections():
    wanted = HttpTable().max_connections + server._RESERVED_DESCRIPTORS

    assert int(SERVICE["LimitNOFILE"]) >= wanted + server.BACKLOG


def test_a_banners_database_connection_verifies_tls():
    text = (CONFIG / "banner" / "gateway.toml").read_text("utf-8")

    [url] = re.findall(r"GATEWAY_DATABASE=(\S+)", text)
    assert url.endswith("?ssl=verify-full")
    assert "PGSSLROOTCERT=" in text
    assert "GATEWAY_REDIS=rediss://" in text


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((CONFIG / "compose" / "compose.yaml").read_text())
    return parsed


def test_compose_starts_the_gateway_on_its_profile(compose):
    gateway = compose["services"]["gateway"]
    settings = profile("compose").gateway
    volumes = dict(each.split(":")[:2] for each in gateway["volumes"])
    raw = tomllib.loads((CONFIG / "compose" / "gateway.toml").read_text("utf-8"))

    assert set(gateway["environment"]) == {raw["database"]["url"]["env"]}
    assert gateway["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    assert settings.host == "0.0.0.0"
    assert volumes == {
        "./gateway.toml": "/etc/rx-gateway/gateway.toml",
        "gateway": str(settings.data_dir),
    }
    assert set(compose["volumes"]) == {"gateway", "database"}
    assert int(gateway["stop_grace_period"].removesuffix("s")) >= seconds_to_stop()


def test_compose_gives_both_sides_the_same_user_and_database(compose):
    database = compose["services"]["database"]["environment"]
    [url] = compose["services"]["gateway"]["environment"].values()

    assert url == (
        f"postgresql+asyncpg://{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
        f"@database:5432/{database['POSTGRES_DB']}"
    )
    assert database["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")


def test_the_image_is_built_from_files_that_there_are_and_from_no_others(compose):
    build = compose["services"]["gateway"]["build"]
    assert (CONFIG / "compose" / build["context"]).resolve() == ROOT
    dockerfile = ROOT / build["dockerfile"]
    lines = dockerfile.read_text("utf-8").splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    ignored = dockerfile.with_name("Dockerfile.dockerignore").read_text("utf-8").splitlines()

    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert lines.index("USER rx-gateway") < lines.index('CMD ["gateway", "serve"]')


def test_launchd_starts_a_command_that_there_is_and_gives_it_time_to_end():
    with (CONFIG / "macos" / "rx-gateway.plist").open("rb") as file:
        service = plistlib.load(file)
    program, *words = service["ProgramArguments"]

    assert program == "/opt/rx-gateway/.venv/bin/gateway"
    assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0
    assert service["ExitTimeOut"] >= seconds_to_stop()
    assert service["Umask"] == 0o077
    assert service["HardResourceLimits"]["Core"] == 0
    assert service["RunAtLoad"] is service["KeepAlive"] is True


def commands_on(page: Path) -> list[str]:
    """Return what stands behind ``gateway`` wherever a page tells somebody to type it."""
    text = page.read_text("utf-8")
    typed = [
        *re.findall(r"`gateway ([a-z][^`]*)`", text),
        *re.findall(r"(?:bin/|Scripts\\|exec gateway )gateway(?:\.exe)? ([a-z].*)", text),
    ]
    return sorted(set(typed))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {
        line: said.output
        for line in commands_on(page)
        if (said := CliRunner().invoke(main, [*shlex.split(line), "--help"])).exit_code
    }

    assert commands_on(page)
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_project_that_a_page_copies_is_there(page: Path):
    text = page.read_text("utf-8").replace("\\", "/")
    named = re.findall(r"(?:/opt/rx-gateway/|(?<=\s))((?:config|docs)/[\w./-]+\w)", text)
    systemd = re.findall(r"\brx-gateway(?:-\w+)?\.(?:service|timer)\b", text)

    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in systemd if not (CONFIG / "systemd" / name).exists()] == []
