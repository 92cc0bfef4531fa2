"""From another host of the shop: over the certificate of the local CA, and refused without it.

The other host is a network namespace with a hosts file of its own, where the tests run as root on
Linux; elsewhere a process with the name mapped to this machine.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from chromium import AUTHENTICATOR, FLAGS
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import async_playwright
from processes import GatewayProcess
from servers_asked_for import WITHOUT

pytestmark = pytest.mark.slow

NAME = "gateway.lan"
SCRIPT = Path(__file__).with_name("second_host.py")
TESTS = str(Path(__file__).parents[1])
CODE_FILE = Path("data", "owner-code")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def another_host():
    """Yield the address of the gateway's host as the other one sees it, and how to run there."""
    space = f"shop{os.getpid()}"
    number = os.getpid() % 250
    mine, theirs = f"10.199.{number}.1", f"10.199.{number}.2"
    link, end = f"gwa{os.getpid()}", f"gwb{os.getpid()}"
    hosts = Path("/etc/netns", space)
    try:
        ip("netns", "add", space)
    except (OSError, subprocess.CalledProcessError):  # not root, not Linux
        yield "127.0.0.1", [], {"SECOND_HOST": f"{NAME}=127.0.0.1"}
        return
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", end)
        ip("link", "set", end, "netns", space)
        ip("addr", "add", f"{mine}/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", space, "addr", "add", f"{theirs}/30", "dev", end)
        ip("-n", space, "link", "set", end, "up")
        hosts.mkdir(parents=True)
        (hosts / "hosts").write_text(f"{mine} {NAME}\n")
        yield mine, ["ip", "netns", "exec", space], {}
    finally:
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
        shutil.rmtree(hosts, ignore_errors=True)


async def on(before, more, *words):
    """Run the script on the other host; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, str(SCRIPT), *words, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": TESTS, **more},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def served(port: int, scheme: str) -> str:
    return f'[gateway]\nhost = "0.0.0.0"\nport = {port}\npublic_url = "{scheme}://{NAME}:{port}"\n'


async def test_owner_from_another_host_over_the_local_ca(tmp_path):
    port = free_port()
    url = f"https://{NAME}:{port}"
    gateway = GatewayProcess(tmp_path, served(port, "https"))
    made = await gateway.json("tls", "init", NAME)
    tls = f'[http]\ntls_cert = "{made["tls_cert"]}"\ntls_key = "{made["tls_key"]}"\n'
    gateway.config.write_text(gateway.config.read_text() + tls)
    with another_host() as (_, before, more):
        async with gateway:
            code = await asyncio.to_thread((tmp_path / CODE_FILE).read_text)

            seen = await on(before, more, "https", url, made["ca"], code.strip())

    assert "CERTIFICATE_VERIFY_FAILED" in seen["without the CA"]
    assert seen["statuses"] == [200, 201, 204, 401, 201, 403]
    assert seen["role"] == "owner"
    session = seen["cookies"][0]
    assert session.startswith("__Host-session=")
    assert "Secure" in session
    assert "Path=/" in session
    assert "Domain" not in session


async def test_without_tls_another_host_is_refused_with_the_command_that_helps(tmp_path):
    port = free_port()
    with another_host() as (_, before, more):
        async with GatewayProcess(tmp_path, served(port, "http")):
            seen = await on(before, more, "plain", f"http://{NAME}:{port}")

    assert seen["status"] == 403
    assert f"Run: gateway tls init {NAME}" in seen["text"]


async def test_chromium_keeps_the_host_cookie_and_a_passkey_of_that_name(tmp_path):
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        reason = "Chromium is not installed (apt-get install chromium)"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(f"{WITHOUT}{reason}")
    port = free_port()
    url = f"https://{NAME}:{port}"
    gateway = GatewayProcess(tmp_path, served(port, "https"))
    made = await gateway.json("tls", "init", NAME)
    tls = f'[http]\ntls_cert = "{made["tls_cert"]}"\ntls_key = "{made["tls_key"]}"\n'
    gateway.config.write_text(gateway.config.read_text() + tls)
    pem = await asyncio.to_thread(Path(made["tls_cert"]).read_bytes)
    key = x509.load_pem_x509_certificate(pem).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # Trusted by its key: putting ca.pem into a browser's own store needs a tool per system.
    trusted = base64.b64encode(hashlib.sha256(spki).digest()).decode()
    flags = [
        *FLAGS.split(),
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={trusted}",
    ]
    async with gateway, async_playwright() as started:
        code = await asyncio.to_thread((tmp_path / CODE_FILE).read_text)
        browser = await started.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=program, args=flags
        )
        page = browser.pages[0]
        devtools = await browser.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        await page.goto(f"{url}/dashboard")
        await page.fill("#k", code.strip())
        await page.fill("#n", "Amara Okafor")
        await page.fill("#e", "amara@lakeside.example")
        await page.click("button.primary")
        await page.click("[data-passkey]")
        await page.wait_for_url(re.compile(rf"{url}/dashboard(/me)?(\?.*)?$"))
        cookies = {each["name"]: each for each in await browser.cookies()}
        await browser.close()

    kept = cookies["__Host-session"]
    assert (kept["domain"], kept["path"]) == (NAME, "/")
    assert (kept["secure"], kept["httpOnly"], kept["sameSite"]) == (True, True, "Lax")
