"""The proxy profiles of config/tls, run in front of a real ``gateway serve``."""

import contextlib
import json
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from processes import TOML, GatewayProcess

from gateway.http import local_ca

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAME = "gateway.example.com"
ORDER = {"orders": [{"patient_name": "A. Smith", "patient_address": "1 Ocean Dr"}]}
TRUSTING = '\n[http]\ntrusted_proxies = ["127.0.0.1"]\nfailed_keys_per_minute = 3\n[plugins.csv]\n'


def free_port() -> int:
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def nginx(folder: Path, upstream: str, port: int, tls: local_ca.Issued) -> list[str]:
    """Write the profile with other ports and files; returns the command that runs it."""
    text = (ROOT / "config" / "tls" / "nginx.conf").read_text("utf-8")
    text = text.replace("127.0.0.1:8080", upstream)
    text = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;", text)
    text = re.sub(r"listen 80;", f"listen unix:{folder}/plain.sock;", text)
    text = re.sub(r"(ssl_certificate +)\S+;", rf"\1{tls.cert};", text)
    text = re.sub(r"(ssl_certificate_key +)\S+;", rf"\1{tls.key};", text)
    (folder / "part").write_text(text)
    scratch = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"pid {folder}/pid; worker_processes 1; daemon off; error_log {folder}/error.log; "
        f"events {{}} http {{ access_log off; {scratch} include {folder}/part; }}"
    )
    (folder / "nginx.conf").write_text(whole)
    user = ["-g", "user root;"] if Path("/proc/self").owner() == "root" else []
    return ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf"), *user]


def caddy(folder: Path, upstream: str, port: int, tls: local_ca.Issued) -> list[str]:
    """Write the profile with other ports and files; returns the command that runs it."""
    text = (ROOT / "config" / "tls" / "Caddyfile").read_text("utf-8")
    text = text.replace("127.0.0.1:8080", upstream)
    site = f"https://{NAME}:{port} {{\n\ttls {tls.cert} {tls.key}\n"
    text = text.replace(f"{NAME} {{\n", site, 1)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tpersist_config off\n}\n"
    (folder / "Caddyfile").write_text(options + text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


PROXIES = {"nginx": nginx, "caddy": caddy}


class Proxy:
    """A proxy's client: speaks to ``NAME`` from an address of this machine."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context

    def client(self, source: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=self._context, local_address=source)
        return httpx.AsyncClient(transport=transport, timeout=60)

    async def send(self, method: str, path: str, source: str = "127.0.0.1", **more):
        headers = {"Host": NAME, **more.pop("headers", {})}
        async with self.client(source) as client:
            return await client.request(
                method,
                f"https://127.0.0.1:{self._port}{path}",
                headers=headers,
                extensions={"sni_hostname": NAME},
                **more,
            )


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture(params=sorted(PROXIES))
async def proxied(request, tmp_path):
    """A gateway behind a proxy: ``(proxy, gateway, key)``."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    tls = local_ca.issue(tmp_path / "tls", [NAME], datetime.now(UTC))
    async with GatewayProcess(tmp_path, TOML + TRUSTING) as gateway:
        key = (await gateway.json("keys", "create", "--name", "till", "--scope", "all"))["key"]
        port = free_port()
        upstream = gateway.url.removeprefix("http://")
        command = PROXIES[request.param](tmp_path, upstream, port, tls)
        log = tmp_path / "proxy.log"
        with running(command, log) as process:
            proxy = Proxy(port, ssl.create_default_context(cafile=tls.ca))
            if not await answers(proxy, process):
                pytest.fail(log.read_text())
            yield proxy, gateway, key


async def answers(proxy: Proxy, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the proxy passes requests on; false when it ends or takes too long."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if (await proxy.send("GET", "/health/live")).status_code == 200:
                return True
    return False


async def test_a_proxy_passes_the_api_on_and_hides_the_metrics(proxied):
    proxy, _gateway, key = proxied
    ordered = await proxy.send(
        "POST", "/api/webhook/orders", json=ORDER, headers={"X-API-Key": key}
    )
    ready = await proxy.send("GET", "/health/ready")
    metrics = await proxy.send("GET", "/metrics")

    assert (ordered.status_code, ready.status_code, metrics.status_code) == (200, 200, 404)
    assert "gateway_" not in metrics.text
    assert ordered.headers["strict-transport-security"] == "max-age=31536000"
    assert ordered.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in ordered.headers


async def test_a_proxy_lets_spreadsheets_of_several_megabytes_through(proxied):
    proxy, _gateway, key = proxied
    rows = "patient_name,patient_address,notes\n" + f"Ana,1 Elm,{'x' * 900}\n" * 3000
    answer = await proxy.send(
        "POST",
        "/api/packages/import?dry_run=true",
        files={"file": ("orders.csv", rows.encode(), "text/csv")},
        headers={"X-API-Key": key},
    )

    assert len(rows) > 2_500_000
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == 3000


async def test_clients_behind_a_proxy_have_budgets_of_their_own(proxied):
    proxy, _gateway, key = proxied

    async def status(sent: str, source: str, spoofed: str) -> int:
        headers = {"X-API-Key": sent, "X-Forwarded-For": spoofed}
        return (await proxy.send("GET", "/api/packages", source, headers=headers)).status_code

    guesses = [await status("sk_live_no", "127.0.0.9", f"198.51.100.{n}") for n in range(5)]
    other = await status(key, "127.0.0.8", "127.0.0.9")

    assert guesses == [401, 401, 401, 429, 429]
    assert other == 200


async def test_a_body_that_is_too_large_for_a_route_is_refused(proxied):
    proxy, _gateway, key = proxied
    body = json.dumps({"orders": [{"patient_name": "A" * 1_500_000}]})
    answer = await proxy.send(
        "POST",
        "/api/webhook/orders",
        content=body,
        headers={"X-API-Key": key, "Content-Type": "application/json"},
    )

    assert answer.status_code == 413
