"""Passwords: Argon2id, two at a time, and none that is easy to guess."""

import asyncio
import threading

import pytest

from gateway.auth.passwords import PasswordHasher, refuse_weak
from gateway.errors import InvalidInput, Unavailable


@pytest.fixture
def hasher():
    made = PasswordHasher(memory_kib=64)
    yield made
    made.close()


async def test_a_password_opens_its_own_hash_and_no_other(hasher):
    stored = await hasher.hash("correct bottle stable")

    assert stored.startswith("$argon2id$v=19$m=64,t=2,p=1$")
    assert await hasher.verify("correct bottle stable", stored)
    assert not await hasher.verify("correct bottle stabl", stored)
    assert not await hasher.verify("correct bottle stable", await hasher.hash("another sentence"))


async def test_the_cost_is_what_owasp_advises():
    hasher = PasswordHasher()

    assert "m=19456,t=2,p=1" in await hasher.hash("correct bottle stable")
    hasher.close()


async def test_an_unknown_person_costs_one_hash_as_well_and_opens_nothing(hasher):
    before = hasher.computed

    assert not await hasher.verify("correct bottle stable", None)
    assert hasher.computed == before + 1


async def test_the_same_characters_typed_in_another_way_are_the_same_password(hasher):
    stored = await hasher.hash("cr\u00e8me br\u00fbl\u00e9e du soir")

    assert await hasher.verify("cre\u0300me bru\u0302le\u0301e du soir", stored)


async def test_two_are_computed_at_a_time(hasher, monkeypatch):
    running, most, lock = 0, 0, threading.Lock()
    derive = hasher._derive
    both = threading.Barrier(2, timeout=30)

    def counted(password):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        made = derive(password)
        with lock:
            running -= 1
        return made

    monkeypatch.setattr(hasher, "_derive", counted)
    await asyncio.gather(*(hasher.hash(f"a long password {n}") for n in range(6)))

    assert most == 2


async def test_more_than_can_wait_are_refused_at_once(hasher):
    stored = await hasher.hash("correct bottle stable")
    waiting = [
        asyncio.create_task(hasher.verify("correct bottle stable", stored)) for _ in range(100)
    ]
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert sum(answer is True for answer in answers) == 64
    assert sum(isinstance(answer, Unavailable) for answer in answers) == 36


@pytest.mark.parametrize(
    "password",
    [
        "elevenchars",
        "x" * 257,
        "password1234",
        "P@ssw0rd2026!",
        "passwordpassword",
        "qwertyuiop123",
        "iloveyou-iloveyou",
        "motdepasse2026",
        "aaaaaaaaaaaa",
        "123456789012",
        "abcdefghijkl",
        "abababababab",
        "1234567890123456",
        "1qaz2wsx3edc4rfv",
        "amara.okafor.1",
        "lakeside-amara",
        "AmaraOkafor2026",
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused(password):
    with pytest.raises(InvalidInput) as refused:
        refuse_weak(password, "Amara Okafor", "amara@lakeside.example")

    assert refused.value.details[0].field == "password"
    assert password not in str(refused.value.details) + refused.value.message


@pytest.mark.parametrize(
    "password",
    [
        "correct bottle stable",
        "Zx4!kTq9#Lw2",
        "le chat dort sur le toit",
        "amara likes 7 blue cups",
    ],
)
def test_a_sentence_or_a_random_text_is_taken(password):
    refuse_weak(password, "Amara Okafor", "amara@lakeside.example")
