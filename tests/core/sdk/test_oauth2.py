"""Tokens by OAuth 2.0 from a server on 127.0.0.1."""

import base64
import hashlib
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from core.storage.rows import NOW

from gateway.clock import SteppingClock
from gateway.errors import TokenRefused
from gateway.outbound.client import OutboundClient
from gateway.outbound.ssrf_guard import AddressGuard
from gateway.sdk.credentials import Token
from gateway.sdk.oauth2 import OAuth2, code_challenge
from gateway.testing import Receiver

GUARD = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])


@pytest.fixture
async def server():
    async with Receiver() as receiver:
        receiver.body = b'{"access_token":"granted","expires_in":3600,"token_type":"bearer"}'
        yield receiver


@pytest.fixture
async def http():
    async with OutboundClient(SteppingClock(NOW), GUARD) as client:
        yield client


def client_of(server, http, **options):
    options = {"client_id": "me", "client_secret": "s&cret", **options}
    return OAuth2(http, SteppingClock(NOW), token_url=f"{server.url}/token", **options)


def form(server):
    return dict(parse_qsl(server.received[-1].body.decode()))


async def test_client_credentials_go_into_the_form(server, http):
    oauth2 = client_of(server, http, scope="orders", extra={"audience": "api"})

    granted = await oauth2.client_credentials()

    assert granted == Token(access_token="granted", expires_at=NOW + timedelta(hours=1))
    assert form(server) == {
        "grant_type": "client_credentials",
        "scope": "orders",
        "client_id": "me",
        "client_secret": "s&cret",
        "audience": "api",
    }


async def test_or_into_the_header(server, http):
    await client_of(server, http, sends="basic").client_credentials()

    scheme, _, value = server.received[-1].headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(value) == b"me:s%26cret"
    assert form(server) == {"grant_type": "client_credentials"}


async def test_a_person_consents_and_the_code_is_exchanged(server, http):
    oauth2 = client_of(
        server, http, scope="orders", client_secret="", authorize_url="https://id.example/go?x=1"
    )
    verifier, challenge = code_challenge()

    address = urlsplit(
        oauth2.authorization_url("https://us.example/back", "state1", challenge=challenge)
    )
    await oauth2.exchange("code1", "https://us.example/back", verifier=verifier)

    assert parse_qs(address.query) == {
        "x": ["1"],
        "response_type": ["code"],
        "client_id": ["me"],
        "redirect_uri": ["https://us.example/back"],
        "state": ["state1"],
        "scope": ["orders"],
        "code_challenge": [challenge],
        "code_challenge_method": ["S256"],
    }
    sent = form(server)
    assert sent == {
        "grant_type": "authorization_code",
        "code": "code1",
        "redirect_uri": "https://us.example/back",
        "code_verifier": verifier,
        "client_id": "me",
    }
    digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge


async def test_a_refresh_keeps_the_refresh_token_unless_another_comes(server, http):
    oauth2 = client_of(server, http)
    stored = Token(access_token="old", refresh_token="again", scope="orders")

    kept = await oauth2.refresh(stored)
    assert form(server)["refresh_token"] == "again"
    server.body = b'{"access_token":"new","refresh_token":"other","scope":"few"}'
    rotated = await oauth2.refresh(stored)

    assert (kept.refresh_token, kept.scope) == ("again", "orders")
    assert rotated == Token(access_token="new", refresh_token="other", scope="few")
    for nothing in (None, Token(access_token="old")):
        with pytest.raises(TokenRefused) as refused:
            await oauth2.refresh(nothing)
        assert refused.value.reason == "not_connected"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b'{"error":"invalid_grant","error_description":"Maria"}', "invalid_grant"),
        (400, b'{"error":"Maria Rodriguez"}', "refused"),
        (500, b"<html>", "refused"),
        (200, b"<html>", "bad_answer"),
        (200, b'{"access_token":""}', "bad_answer"),
        (200, b'{"error":"invalid_client"}', "bad_answer"),
    ],
)
async def test_a_refusal_is_a_word(server, http, status, body, reason):
    server.answers, server.body = [status], body

    with pytest.raises(TokenRefused) as refused:
        await client_of(server, http).client_credentials()

    assert (refused.value.reason, refused.value.status) == (reason, status)
    assert "Maria" not in refused.value.message


async def test_a_server_that_asks_to_wait_is_heard_and_one_that_is_away_is_named(server, http):
    server.answers, server.headers = [429], {"Retry-After": "30"}

    oauth2 = client_of(server, http)
    with pytest.raises(TokenRefused) as busy:
        await oauth2.client_credentials()
    await server.__aexit__(None, None, None)
    with pytest.raises(TokenRefused) as away:
        await oauth2.client_credentials()

    assert busy.value.retry_after_seconds == 30
    assert away.value.reason == "connect"
