"""The signature ``v1a``: a key pair, of which receivers know the public half only."""

import base64
import json
import re
import subprocess

import pytest
from click.testing import CliRunner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from webhook_verifiers import verifier_source

from gateway.cli import main
from gateway.testing import Receiver

ORDER = {"patient_name": "Ana Silva", "patient_address": "9 Elm St"}


def is_verified(received, public_key) -> bool:
    """Verify a webhook as a receiver does, from the specification alone."""
    headers = received.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.body
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    for entry in headers["webhook-signature"].split():
        version, _, signature = entry.partition(",")
        assert version == "v1a"
        try:
            key.verify(base64.b64decode(signature), signed)
        except InvalidSignature:
            continue
        return True
    return False


def by_the_pages_python(webhooks, keys):
    """Verify with the block that the how-to page gives to developers."""
    names = {}
    exec(verifier_source("python-v1a"), names)
    return [names["verify_v1a"](each.body, *signed_parts(each), keys) for each in webhooks]


def by_the_pages_typescript(webhooks, keys):
    """Verify with the page's block in Node.js; its types are taken away."""
    source = re.sub(
        r": (?:Buffer|string|boolean)(?:\[\])?(?=[,)]| \{)", "", verifier_source("typescript-v1a")
    )
    cases = [[base64.b64encode(each.body).decode(), *signed_parts(each)] for each in webhooks]
    source += (
        "\nfor (const [body, ...rest] of JSON.parse(process.argv[1]))\n"
        f"  console.log(verifyV1a(Buffer.from(body, 'base64'), ...rest, {json.dumps(keys)}))\n"
    )
    words = ["node", "--input-type=module", "-e", source, json.dumps(cases)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return [each == "true" for each in done.stdout.split()]


def signed_parts(received):
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return [received.headers[each] for each in names]


@pytest.fixture
async def receiver():
    async with Receiver() as running:
        yield running


@pytest.fixture
async def gateway(harness):
    async with harness("[plugins.json_api]\n[plugins.webhooks]\n") as running:
        yield running


async def test_a_webhook_is_verified_with_the_public_key_before_while_and_after_a_rotation(
    gateway, receiver
):
    key = await gateway.issue_key()
    sent = {"url": receiver.url, "format": "standard", "signature": "v1a"}
    added = (await gateway.post("/api/webhooks/endpoints", key, sent)).json()
    path = f"/api/webhooks/endpoints/{added['id']}"
    await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [first] = await receiver.wait_for(1)

    rotated = (await gateway.post(f"{path}/rotate", key, {})).json()
    await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [_, second] = await receiver.wait_for(2)
    finished = (await gateway.post(f"{path}/rotate/finish", key)).json()
    await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [_, _, third] = await receiver.wait_for(3)

    old, new = added["public_key"], rotated["next_public_key"]
    damaged = first._replace(body=first.body + b" ")
    for verified in (by_the_pages_python, by_the_pages_typescript):
        assert verified([first, second, third, damaged], [old]) == [True, True, False, False]
        assert verified([first, second, third, damaged], [new]) == [False, True, True, False]
        assert verified([first, second, third, damaged], [old, new]) == [True] * 3 + [False]
    assert (rotated["public_key"], finished["public_key"]) == (old, new)
    assert "next_public_key" not in finished
    assert (is_verified(first, old), is_verified(first, new)) == (True, False)
    assert (is_verified(second, old), is_verified(second, new)) == (True, True)
    assert (is_verified(third, old), is_verified(third, new)) == (False, True)
    shown = (await gateway.get(path, key)).json()
    assert shown["signature"] == "v1a"
    for answer in (added, rotated, finished, shown):
        assert "secret" not in answer
        assert "whsk_" not in json.dumps(answer)


async def test_another_host_gets_another_key(gateway, receiver):
    key = await gateway.issue_key()
    sent = {"url": receiver.url, "format": "standard", "signature": "v1a"}
    added = (await gateway.post("/api/webhooks/endpoints", key, sent)).json()
    path = f"/api/webhooks/endpoints/{added['id']}"
    change = {"url": "http://127.0.0.1:9/elsewhere"}

    moved = (await gateway.request("PATCH", path, key, change)).json()

    assert moved["public_key"].startswith("whpk_")
    assert moved["public_key"] != added["public_key"]
    assert "secret" not in moved


async def test_only_the_standard_format_has_key_pairs(gateway, receiver):
    key = await gateway.issue_key()
    sent = {"url": receiver.url, "signature": "v1a"}

    answer = await gateway.post("/api/webhooks/endpoints", key, sent)

    assert answer.status_code == 400
    assert answer.json()["details"] == [
        {
            "message": 'v1a is a signature of the standard format: send "format": "standard" too',
            "field": "signature",
        }
    ]


def test_the_command_prints_the_public_key_and_no_private_one(tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(
        "[plugins.json_api]\n[plugins.webhooks]\n[delivery]\nallow_http = true\n"
        'allow_networks = ["127.0.0.0/8"]\n'
    )
    words = ("endpoints", "add", "http://127.0.0.1:9/x", "--format", "standard")
    done = CliRunner().invoke(
        main,
        [*words, "--signature", "v1a", "--json", "--config", str(config)],
        catch_exceptions=False,
    )
    added = json.loads(done.stdout)

    assert list(added)[:2] == ["id", "public_key"]
    assert "secret" not in added
    assert "whsk_" not in done.output
