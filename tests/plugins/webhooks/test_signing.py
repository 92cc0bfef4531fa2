"""The signatures, against known answers that this project didn't make."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from gateway_webhooks.signing import (
    new_private_key,
    new_secret,
    public_key_of,
    sign_autorx,
    sign_scriptrun,
    sign_standard,
    sign_standard_asymmetric,
)

from gateway.errors import InvalidInput

DATA = Path(__file__).parents[2] / "data" / "signatures.json"
VECTORS = {vector["format"]: vector for vector in json.loads(DATA.read_text("utf-8"))["vectors"]}

# Published with the Standard Webhooks reference libraries (a bare 32-byte seed) and
# with a server that speaks it (seed and public key together).
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SEED_KEY = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
SEED_SIGNATURE = (
    "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
)
PAIR_KEY = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PAIR_PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
PAIR_SIGNATURE = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)


def test_every_known_answer_has_a_test_here():
    assert sorted(VECTORS) == ["autorx", "scriptrun", "shopify-inbound", "standard"]


def test_scriptrun_gives_the_known_answer():
    vector = VECTORS["scriptrun"]
    header = sign_scriptrun(vector["secret"], vector["timestamp"], vector["body"].encode())
    assert header == vector["header"]


def test_autorx_gives_the_known_answer():
    vector = VECTORS["autorx"]
    assert sign_autorx(vector["secret"], vector["body"].encode()) == vector["header"]
    assert sign_autorx(vector["secret"], vector["body"].encode(), "hex") == vector["header"]


def test_autorx_in_base64_gives_the_known_answer_of_the_inbound_shop_form():
    # Shopify signs what it sends us with the same bytes: base64 HMAC-SHA256 of the raw body.
    vector = VECTORS["shopify-inbound"]
    assert sign_autorx(vector["secret"], vector["body"].encode(), "base64") == vector["header"]


def test_standard_gives_the_known_answer():
    vector = VECTORS["standard"]
    header = sign_standard(
        vector["secret"], vector["id"], vector["timestamp"], vector["body"].encode()
    )
    assert header == vector["header"]


def test_scriptrun_puts_the_secret_in_use_last_while_rotating():
    new = sign_scriptrun("whsec_new", 1713547200, b"{}").removeprefix("t=1713547200,")
    in_use = sign_scriptrun("whsec_old", 1713547200, b"{}").removeprefix("t=1713547200,")
    header = sign_scriptrun("whsec_old", 1713547200, b"{}", next_secret="whsec_new")
    assert header == f"t=1713547200,{new},{in_use}"


def test_standard_lists_the_secret_in_use_first_while_rotating():
    old, new = new_secret(), new_secret()
    in_use = sign_standard(old, "evt_1", 1713547200, b"{}")
    following = sign_standard(new, "evt_1", 1713547200, b"{}")
    assert sign_standard(old, "evt_1", 1713547200, b"{}", new) == f"{in_use} {following}"


def test_a_body_is_signed_as_bytes_and_need_not_be_text():
    assert sign_autorx("whsec_test_1", b"\xff\x00") != sign_autorx("whsec_test_1", b"\xfe\x00")
    assert sign_scriptrun("whsec_test_1", 1, b"\xff\x00").startswith("t=1,v1=")


def test_a_new_secret_is_32_random_bytes_in_padded_base64_after_its_prefix():
    secret = new_secret()
    assert secret.startswith("whsec_")
    encoded = secret.removeprefix("whsec_")
    assert len(encoded) == 44
    assert len(base64.b64decode(encoded, validate=True)) == 32
    assert secret != new_secret()


def test_a_standard_secret_may_come_without_its_padding_or_its_prefix():
    secret = new_secret()
    header = sign_standard(secret, "evt_1", 1713547200, b"{}")
    assert sign_standard(secret.rstrip("="), "evt_1", 1713547200, b"{}") == header
    assert sign_standard(secret.removeprefix("whsec_"), "evt_1", 1713547200, b"{}") == header


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_not base64", "whsec_ünïcode", "whsec_A"])
def test_a_standard_secret_that_is_not_base64_is_refused_without_being_repeated(secret):
    with pytest.raises(InvalidInput) as refused:
        sign_standard(secret, "evt_1", 1713547200, b"{}")
    assert refused.value.message == (
        "The signing secret is not base64 after whsec_; rotate it to get a usable one."
    )


@pytest.mark.parametrize(
    ("private_key", "signature"), [(SEED_KEY, SEED_SIGNATURE), (PAIR_KEY, PAIR_SIGNATURE)]
)
def test_ed25519_gives_the_known_answers(private_key, signature):
    assert sign_standard_asymmetric(private_key, ID, TIMESTAMP, BODY) == signature


def test_the_public_key_of_a_known_pair_is_the_published_one():
    assert public_key_of(PAIR_KEY) == PAIR_PUBLIC_KEY


def test_signatures_of_a_new_private_key_verify_with_its_public_key():
    private_key = new_private_key()
    header = sign_standard_asymmetric(private_key, "evt_1", 1713547200, b"{}")
    signature = base64.b64decode(header.removeprefix("v1a,"))
    raw = base64.b64decode(public_key_of(private_key).removeprefix("whpk_"))
    public_key = Ed25519PublicKey.from_public_bytes(raw)
    public_key.verify(signature, b"evt_1.1713547200.{}")
    with pytest.raises(InvalidSignature):
        public_key.verify(signature, b"evt_1.1713547200.{ }")


@pytest.mark.parametrize(
    "private_key",
    [
        "whsk_",
        "whsk_not base64",
        PAIR_PUBLIC_KEY.replace("whpk_", "whsk_")[:-8],  # too short for a seed
        PAIR_KEY[:-4],  # the public half is cut off
        PAIR_KEY.replace("Kvg==", "Kvw=="),  # the halves don't belong together
    ],
)
def test_a_private_key_that_is_no_ed25519_key_is_refused(private_key):
    with pytest.raises(InvalidInput, match=r"not an ed25519 key in base64 after whsk_; give 32"):
        sign_standard_asymmetric(private_key, "evt_1", 1713547200, b"{}")
