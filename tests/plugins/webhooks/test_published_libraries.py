"""Webhooks of the standard format, checked by the libraries that are published for it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from gateway_webhooks.signing import (
    new_private_key,
    new_secret,
    sign_standard,
    sign_standard_asymmetric,
)

PYTHON: Final = """
import json, sys
sys.path.insert(0, sys.argv[1])
from importlib import import_module
Webhook = import_module(sys.argv[2]).Webhook
for case in json.load(sys.stdin):
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("valid")
    except Exception:
        print("invalid")
"""
NODE: Final = """
const { Webhook } = require(process.argv[1])
for (const each of JSON.parse(require('fs').readFileSync(0, 'utf8'))) {
  try { new Webhook(each.secret).verify(each.body, each.headers); console.log('valid') }
  catch { console.log('invalid') }
}
"""
IN_USE, NEXT, FOREIGN = new_secret(), new_secret(), new_secret()
BODY: Final = '{"type":"package.created","data":{"notes":"Zoé"}}'


def fetched(folder: Path, *words: str) -> None:
    """Install a library from its registry; skip where no registry can be reached."""
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{words[0]} can't fetch the library: {done.stderr[-200:]}")


def cases() -> list[dict[str, object]]:
    now = int(time.time())

    def case(secret: str, signature: str) -> dict[str, object]:
        headers = {"webhook-id": "evt_1", "webhook-timestamp": f"{now}"}
        return {
            "secret": secret,
            "body": BODY,
            "headers": {**headers, "webhook-signature": signature},
        }

    body = BODY.encode()
    plain = sign_standard(IN_USE, "evt_1", now, body)
    rotating = sign_standard(IN_USE, "evt_1", now, body, NEXT)
    pair = sign_standard_asymmetric(new_private_key(), "evt_1", now, body)
    return [
        case(IN_USE, plain),
        case(IN_USE, rotating),
        case(NEXT, rotating),
        case(IN_USE, f"{pair} {plain}"),  # a version that they don't know is passed over
        case(FOREIGN, rotating),
        case(IN_USE, sign_standard(IN_USE, "evt_2", now, body)),
        case(IN_USE, pair),  # none of them knows v1a: our page has verifiers for it
    ]


WANTED: Final = ["valid"] * 4 + ["invalid"] * 3


def answers(words: list[str]) -> list[str]:
    done = subprocess.run(
        words, input=json.dumps(cases()), check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("library", "module"), [("standardwebhooks", "standardwebhooks"), ("svix", "svix.webhooks")]
)
def test_the_libraries_of_pypi_verify_them(tmp_path, library, module):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(tmp_path), library]
    fetched(tmp_path, *pip)

    assert answers([sys.executable, "-c", PYTHON, str(tmp_path), module]) == WANTED


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("library", ["standardwebhooks", "svix"])
def test_the_libraries_of_npm_verify_them(tmp_path, library):
    fetched(tmp_path, "npm", "install", "--silent", "--no-audit", "--no-fund", library)

    assert answers(["node", "-e", NODE, str(tmp_path / "node_modules" / library)]) == WANTED
