"""HTTPS with a certificate that is read again, a local CA, and the limit of open files."""

import asyncio
import importlib.util
import json
import os
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from raw_http import raw_client, until
from waiting import PATIENCE_SECONDS

from gateway.cli import main
from gateway.clock import SystemClock
from gateway.errors import ConfigurationError, InvalidInput
from gateway.http import local_ca
from gateway.http.server import CertificateFiles, connection_cap
from gateway.settings import HttpTable

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
if importlib.util.find_spec("uvloop") is not None:  # what gateway serve uses where it exists
    import uvloop

    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))


def tls_toml(folder) -> str:
    return (
        f'[http]\ntls_cert = "{(folder / "cert.pem").as_posix()}"\n'
        f'tls_key = "{(folder / "key.pem").as_posix()}"\n'
        "header_timeout_seconds = 1\n[plugins.json_api]\n"
    )


@pytest.fixture
def tls(tmp_path):
    folder = tmp_path / "tls"
    local_ca.issue(folder, ["gateway.lan"], datetime.now(UTC))
    return folder


def trusting(folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "ca.pem")


async def serial(port: int, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that the server shows."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="gateway.lan"
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return x509.load_der_x509_certificate(shown).serial_number


# HTTPS


async def test_https_is_served_to_a_client_that_trusts_the_local_ca(harness, tls):
    async with harness(tls_toml(tls)) as gateway:
        port = int(gateway.url.rsplit(":", 1)[1])
        async with httpx.AsyncClient(verify=trusting(tls)) as client:
            for host in ("127.0.0.1", "localhost"):
                answer = await client.get(f"https://{host}:{port}/health/live")
                assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.get(f"https://127.0.0.1:{port}/health/live")


async def test_orders_come_in_over_https_with_keep_alive(harness, tls):
    async with harness(tls_toml(tls)) as gateway:
        key = await gateway.issue_key()
        url = "https://" + gateway.url.partition("://")[2]
        orders = {"orders": [{"patient_name": "A", "patient_address": "B " * 2000}] * 100}
        async with httpx.AsyncClient(verify=trusting(tls)) as client:
            statuses = [
                (
                    await client.post(
                        f"{url}/api/webhook/orders", json=orders, headers={"X-API-Key": key}
                    )
                ).status_code
                for _ in range(5)
            ]
        [(_, [open_connections])] = gateway.gateway.metrics.connections.rows()

    assert len(set(statuses)) == 1
    assert statuses[0] in {200, 400}
    assert open_connections <= 1


async def test_a_tls_handshake_that_stops_is_closed(harness, tls):
    async with harness(tls_toml(tls)) as gateway, raw_client(gateway.url) as client:
        await client.send(b"\x16\x03\x01")
        assert await client.is_closed()
        [(_, [open_connections])] = gateway.gateway.metrics.connections.rows()
        assert open_connections == 0


@pytest.mark.parametrize("new_loop", LOOPS)
def test_plain_http_on_the_https_port_gets_a_hint(harness, tls, new_loop):
    async def asked():
        async with harness(tls_toml(tls)) as gateway:
            async with raw_client(gateway.url) as client:
                await client.send("GET /health/live HTTP/1.1\r\nHost: gateway\r\n\r\n")
                answer = await client.answer()
                closed = await client.is_closed()
            for method in ("DELETE", "PATCH", "OPTIONS", "HEAD", "POST", "PUT"):
                async with raw_client(gateway.url) as client:
                    await client.send(f"{method} /x HTTP/1.1\r\nHost: gateway\r\n\r\n")
                    assert (await client.answer()).status == 400, method
            async with raw_client(gateway.url) as client:  # byte by byte, as a slow line has it
                for each in "DELETE /x HTTP/1.1\r\n":
                    await client.send(each)
                assert (await client.answer()).status == 400
            # Any other plain bytes are no request and get no answer.
            async with raw_client(gateway.url) as client:
                await client.send("\x00\x01\x02\x03\x04\x05\x06\x07")
                assert await client.is_closed()
            return answer, closed

    with asyncio.Runner(loop_factory=new_loop) as runner:
        answer, closed = runner.run(asked())
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "error": "This port speaks HTTPS: begin the address with https://.",
        "code": "https_required",
        "details": [],
    }
    assert "connection: close" in answer.head
    assert closed


@pytest.mark.parametrize("new_loop", LOOPS)
def test_no_handshake_is_lost_on_either_event_loop(harness, tls, new_loop):
    """A client's first bytes may come while the connection is still being accepted."""

    async def connected(url, trust):
        async with httpx.AsyncClient(verify=trust, timeout=PATIENCE_SECONDS) as client:
            return (await client.get(f"{url}/health/live")).status_code

    async def asked():
        async with harness(tls_toml(tls).replace("seconds = 1\n", "seconds = 60\n")) as gateway:
            url = "https://" + gateway.url.partition("://")[2]
            trust = trusting(tls)
            return await asyncio.gather(*(connected(url, trust) for _ in range(20)))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(asked()) == [200] * 20


async def test_handshakes_count_toward_the_cap_of_their_address(harness, tls):
    toml = tls_toml(tls).replace("[http]\n", "[http]\nmax_connections_per_address = 3\n")
    async with harness(toml.replace("seconds = 1\n", "seconds = 600\n")) as gateway:
        async with (
            raw_client(gateway.url) as first,
            raw_client(gateway.url),
            raw_client(gateway.url),
            raw_client(gateway.url),
        ):
            assert await first.is_closed(PATIENCE_SECONDS)
        url = "https://" + gateway.url.partition("://")[2]
        async with httpx.AsyncClient(verify=trusting(tls)) as client:
            assert (await client.get(f"{url}/health/live")).status_code == 200


async def test_a_changed_certificate_is_used_without_a_restart(harness, tls):
    async with harness(tls_toml(tls)) as gateway:
        port = int(gateway.url.rsplit(":", 1)[1])
        before = await serial(port, trusting(tls))
        local_ca.issue(tls, ["gateway.lan", "10.0.0.9"], datetime.now(UTC))
        async with asyncio.timeout(20):
            while await serial(port, trusting(tls)) == before:  # noqa: ASYNC110 - a client polls
                await asyncio.sleep(0.1)


async def test_a_broken_certificate_is_not_used_and_logged(harness, tls, caplog):
    async with harness(tls_toml(tls)) as gateway:
        port = int(gateway.url.rsplit(":", 1)[1])
        before = await serial(port, trusting(tls))
        (tls / "cert.pem").write_text("nonsense")
        await until(lambda: "can't be used" in caplog.text)
        assert await serial(port, trusting(tls)) == before


def test_a_certificate_that_cannot_be_read_stops_the_start(tls, tmp_path):
    stranger = tmp_path / "other"
    local_ca.issue(stranger, ["gateway.lan"], NOW)
    for cert, key in (
        (tls / "missing.pem", tls / "key.pem"),
        (tls / "cert.pem", stranger / "key.pem"),
    ):
        with pytest.raises(ConfigurationError, match="gateway tls init"):
            CertificateFiles.of(HttpTable(tls_cert=cert, tls_key=key), SystemClock())


# The local CA


def test_its_certificate_is_for_the_names_and_always_for_this_machine(tmp_path):
    issued = local_ca.issue(tmp_path, ["Gateway.LAN", "192.168.1.20", "gateway.lan"], NOW)

    assert issued.names == ("gateway.lan", "192.168.1.20", "localhost", "127.0.0.1", "::1")
    certificate = x509.load_pem_x509_certificate(issued.cert.read_bytes())
    assert local_ca.names_of(certificate) == issued.names
    assert issued.expires_at == NOW + timedelta(days=90)
    assert issued.is_new_ca


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_keys_are_for_their_owner_only(tmp_path):
    old = os.umask(0)
    try:
        local_ca.issue(tmp_path / "tls", ["gateway.lan"], NOW)
    finally:
        os.umask(old)

    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "tls").iterdir()}
    assert modes == {"ca-key.pem": 0o600, "key.pem": 0o600, "ca.pem": 0o644, "cert.pem": 0o644}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_another_private_name_needs_no_other_ca(tmp_path):
    first = local_ca.issue(tmp_path, ["gateway.lan"], NOW)
    second = local_ca.issue(tmp_path, ["10.1.2.3", "pc7.local"], NOW)

    assert not second.is_new_ca
    assert second.ca_fingerprint == first.ca_fingerprint


def test_the_ca_cannot_vouch_for_other_sites(tmp_path):
    local_ca.issue(tmp_path, ["gateway.lan"], NOW)

    with pytest.raises(ConfigurationError, match="--new-ca"):
        local_ca.issue(tmp_path, ["bank.example.com"], NOW)


def test_a_public_name_that_was_named_at_first_is_allowed(tmp_path):
    local_ca.issue(tmp_path, ["rx.example.com", "203.0.113.7"], NOW)
    again = local_ca.issue(tmp_path, ["rx.example.com", "203.0.113.7"], NOW)

    assert again.names[:2] == ("rx.example.com", "203.0.113.7")


@pytest.mark.parametrize("name", ["https://x", "*.lan", "a b", "x:8080", "", "a..b", "ä" * 80])
def test_what_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput):
        local_ca.issue(tmp_path, [name], NOW)
    assert not (tmp_path / "ca.pem").exists()


def test_a_certificate_is_renewed_in_its_last_thirty_days_with_the_same_key(tmp_path):
    issued = local_ca.issue(tmp_path, ["gateway.lan"], NOW)
    key = issued.key.read_bytes()

    assert not local_ca.renew_if_due(issued.cert, NOW + timedelta(days=59))
    assert local_ca.renew_if_due(issued.cert, NOW + timedelta(days=61))

    certificate = x509.load_pem_x509_certificate(issued.cert.read_bytes())
    assert certificate.not_valid_after_utc == NOW + timedelta(days=61 + 90)
    assert local_ca.names_of(certificate) == issued.names
    assert issued.key.read_bytes() == key


def test_a_certificate_of_another_authority_is_left_alone(tmp_path):
    issued = local_ca.issue(tmp_path / "a", ["gateway.lan"], NOW)
    local_ca.issue(tmp_path / "b", ["gateway.lan"], NOW)
    (tmp_path / "b" / "cert.pem").write_bytes(issued.cert.read_bytes())

    assert not local_ca.renew_if_due(tmp_path / "b" / "cert.pem", NOW + timedelta(days=80))
    (tmp_path / "a" / "ca-key.pem").unlink()
    assert not local_ca.renew_if_due(issued.cert, NOW + timedelta(days=80))


async def test_a_running_server_renews_its_certificate(harness, tmp_path):
    folder = tmp_path / "tls"
    local_ca.issue(folder, ["gateway.lan"], datetime.now(UTC) - timedelta(days=70))
    old = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).serial_number
    async with harness(tls_toml(folder)) as gateway:
        port = int(gateway.url.rsplit(":", 1)[1])
        assert await serial(port, trusting(folder)) != old


@pytest.mark.skipif(not os.path.exists("/usr/bin/openssl"), reason="openssl is not installed")  # noqa: PTH110
def test_openssl_verifies_the_chain(tls):
    done = subprocess.run(
        ["/usr/bin/openssl", "verify", "-x509_strict", "-CAfile", tls / "ca.pem",
         "-verify_hostname", "gateway.lan", tls / "cert.pem"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_tls_init_says_what_to_write_and_how_to_trust_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["tls", "init", "gateway.lan"])

    assert done.exit_code == 0, done.output
    for expected in ("tls_cert", "tls_key", "public_url", "Android", "iOS", "Windows", "macOS"):
        assert expected in done.output
    assert (tmp_path / "data" / "tls" / "ca.pem").exists()
    assert "PRIVATE KEY" not in done.output


# The limit of open files


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_caps_leave_descriptors_for_the_database_and_deliveries():
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}));"
        "from gateway.http.server import connection_cap; print(*connection_cap(1000))"
    )
    results = []
    for hard in (600, 4096):
        done = subprocess.run(
            [sys.executable, "-c", script.format(hard=hard)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        results.append(tuple(map(int, done.stdout.split())))

    assert results == [(344, 128), (1000, 1548)]


def test_an_ample_limit_changes_nothing():
    assert connection_cap(10)[0] == 10
