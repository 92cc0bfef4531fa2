"""Passkeys, by a software authenticator with real keys: replayed or forged, nothing opens."""

import base64
import json

import pytest
from authenticator import PRESENT, Authenticator, b64, unb64
from core.auth.door import HERE

from gateway.auth.enrolment import Choice
from gateway.errors import InvalidInput, NotAuthenticated


async def test_a_passkey_signs_in_without_a_name(door):
    begun, device = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()

    again = await door.identity.sign_in.with_passkey(token, device.get(options), HERE)

    signed_in = await door.identity.sessions.read(again.cookie)
    assert signed_in.row.method == "passkey"
    assert again.person.id == begun.person.id
    assert "allowCredentials" not in options or not options["allowCredentials"]
    assert options["userVerification"] == "required"


async def test_an_assertion_is_good_once(door):
    _, device = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()
    answer = device.get(options)
    await door.identity.sign_in.with_passkey(token, answer, HERE)

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, answer, HERE)


async def test_a_passkey_that_counts_no_signatures_is_good_for_one_assertion_a_challenge(door):
    _, device = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()
    device.counter = -1  # counts 0, as synced passkeys do
    answer = device.get(options)
    await door.identity.sign_in.with_passkey(token, answer, HERE)

    with pytest.raises(NotAuthenticated, match="done before"):
        await door.identity.sign_in.with_passkey(token, answer, HERE)


async def test_an_answer_to_another_challenge_is_refused(door):
    _, device = await door.owner_with_passkey()
    options, _ = door.identity.sign_in.begin_passkey()
    _, other = door.identity.sign_in.begin_passkey()

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(other, device.get(options), HERE)


async def test_a_challenge_holds_for_ten_minutes(door):
    _, device = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()
    door.clock.step(600)

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, device.get(options), HERE)


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "http://localhost.evil.example:8080"},
        {"origin": "http://localhost:9090"},
        {"origin": "https://localhost:8080"},
        {"rp_id": "evil.example"},
        {"flags": PRESENT},
        {"flags": 0},
        {"counter": -1},
        {"handle": b"another handle"},
        {"credential": b"unknown"},
    ],
    ids=str,
)
async def test_a_passkey_that_lies_opens_nothing(door, lie):
    _, device = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()
    device.counter = 5
    await door.identity.sign_in.with_passkey(token, device.get(options), HERE)
    options, token = door.identity.sign_in.begin_passkey()
    for name, value in lie.items():
        setattr(device, name, value)

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, device.get(options), HERE)


async def test_a_changed_signature_opens_nothing(door):
    _, device = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()
    answer = device.get(options)
    data = bytearray(unb64(answer["response"]["authenticatorData"]))
    data[-1] ^= 1
    answer["response"]["authenticatorData"] = b64(bytes(data))

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, answer, HERE)


@pytest.mark.parametrize(
    "answer", [{}, {"id": "x"}, {"rawId": "!", "response": []}, {"id": None, "response": {}}]
)
async def test_what_is_no_answer_of_a_passkey_is_refused(door, answer):
    _, token = door.identity.sign_in.begin_passkey()

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, answer, HERE)


@pytest.mark.parametrize(
    "token", ["", "x", "eyJhbGciOiJub25lIn0", "A" * 9000, base64.b64encode(bytes(80)).decode()]
)
async def test_a_token_that_is_not_ours_is_refused(door, token):
    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, {}, HERE)


async def test_a_token_of_one_kind_is_none_of_another(door):
    code = await door.identity.enrolment.new_owner_code()
    set_up = await door.identity.enrolment.begin_owner(code, "A", "a@b.example")

    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(set_up.token, {}, HERE)


@pytest.mark.parametrize(
    "lie", [{"origin": "https://evil.example"}, {"rp_id": "evil.example"}, {"flags": PRESENT}]
)
async def test_a_registration_that_lies_makes_no_owner(door, lie):
    code = await door.identity.enrolment.new_owner_code()
    set_up = await door.identity.enrolment.begin_owner(code, "A", "a@b.example")
    device = Authenticator()
    for name, value in lie.items():
        setattr(device, name, value)
    choice = Choice(passkey=device.create(dict(set_up.options)))

    with pytest.raises(InvalidInput):
        await door.identity.enrolment.finish(set_up.token, choice, HERE)
    assert await door.identity.enrolment.needs_owner()


async def test_options_are_plain_json_for_the_browser(door):
    code = await door.identity.enrolment.new_owner_code()
    set_up = await door.identity.enrolment.begin_owner(code, "A", "a@b.example")

    options = json.loads(json.dumps(dict(set_up.options)))

    assert options["rp"]["id"] == "localhost"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert len(unb64(options["challenge"])) >= 16


async def test_a_step_up_belongs_to_its_session(door):
    begun, device = await door.owner_with_passkey()
    sessions, sign_in = door.identity.sessions, door.identity.sign_in
    signed_in = await sessions.read(begun.cookie)
    door.clock.step(600)
    options, token = await sign_in.begin_step_up(signed_in)
    answer = device.get(options)

    with pytest.raises(NotAuthenticated):
        await sign_in.with_passkey(token, answer, HERE)
    await sign_in.step_up_with_passkey(signed_in, token, answer, HERE)

    assert sessions.is_fresh((await sessions.read(begun.cookie)).row)
    options, plain = sign_in.begin_passkey()
    with pytest.raises(NotAuthenticated):
        await sign_in.step_up_with_passkey(signed_in, plain, device.get(options), HERE)
