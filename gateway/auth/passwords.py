"""Passwords: Argon2id hashes, and the check for passwords that are too easy to guess.

Argon2id with the parameters that OWASP advises for a server
(https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html): 19 MiB, two
passes. Two are computed at a time, in threads; others wait, and too many are refused, so that
guesses can't take memory and CPU away from orders.

The check follows NIST SP 800-63B, section 3.1.1.2: a minimum length and a list of common passwords,
no rules about characters. ``common_passwords.txt`` begins with the frequency list of zxcvbn (MIT,
from public leaks).
"""

import asyncio
import base64
import itertools
import re
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import resources
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.errors import InvalidInput, Problem, Unavailable

T = TypeVar("T")

MIN_CHARACTERS: Final = 12
MAX_CHARACTERS: Final = 256
MEMORY_KIB: Final = 19_456
_PASSES: Final = 2
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_AT_A_TIME: Final = 2
_MAX_WAITING: Final = 64
_LEET: Final = str.maketrans("@40$513!7", "aaossieit")
_EDGES: Final = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_MIN_RUN: Final = 4


class PasswordHasher:
    """Hashes and checks passwords, two at a time. ``memory_kib`` is the cost of one."""

    def __init__(self, memory_kib: int = MEMORY_KIB) -> None:
        self._memory_kib = memory_kib
        self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="argon2")
        self._waiting = 0
        self.computed = 0
        """The number of computed hashes; known and unknown people cost the same."""
        # The hash that the password of an unknown person is compared with.
        salt, made = (
            base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
            for size in (_SALT_BYTES, _HASH_BYTES)
        )
        self._no_one = f"$argon2id$v=19$m={memory_kib},t={_PASSES},p=1${salt}${made}"

    async def hash(self, password: str) -> str:
        """Return the hash as text (PHC string format)."""
        return await self._in_turn(lambda: self._derive(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether ``password`` is right; takes as long without a stored hash."""
        is_right = await self._in_turn(lambda: _matches(password, stored or self._no_one))
        return is_right and stored is not None

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, compute: Callable[[], T]) -> T:
        if self._waiting >= _MAX_WAITING:
            raise Unavailable("Too many people sign in right now; wait a moment, then try again.")
        self._waiting += 1
        self.computed += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, compute)
        finally:
            self._waiting -= 1

    def _derive(self, password: str) -> str:
        argon = Argon2id(
            salt=secrets.token_bytes(_SALT_BYTES),
            length=_HASH_BYTES,
            iterations=_PASSES,
            lanes=1,
            memory_cost=self._memory_kib,
        )
        return argon.derive_phc_encoded(_bytes(password))


def refuse_weak(password: str, *personal: str) -> None:
    """Raise ``InvalidInput`` for a password that is short, common, or made of ``personal`` words.

    ``personal`` are the person's name and address, and the names of their sites.
    """
    if len(password) < MIN_CHARACTERS:
        raise _weak(f"use at least {MIN_CHARACTERS} characters; a sentence is a good password")
    if len(password) > MAX_CHARACTERS:
        raise _weak(f"use at most {MAX_CHARACTERS} characters")
    if _is_common(password):
        raise _weak("this is one of the commonest passwords, or nearly; use another one")
    words = [word for text in personal for word in re.findall(r"\w{4,}", text.lower())]
    if _rest_without(password.lower(), words) < MIN_CHARACTERS // 2:
        raise _weak("this is mostly your own name or address; use another one")


def _weak(message: str) -> InvalidInput:
    return InvalidInput("The password is too easy to guess.", [Problem(message, field="password")])


def _is_common(password: str) -> bool:
    common = _common()
    text = password.lower().strip()
    if text in common or _has_few_parts(text):
        return True
    # password1234!, P@ssw0rd2026, passwordpassword, qwerty-qwerty
    bare = _EDGES.sub("", text)
    for core in (bare, _EDGES.sub("", bare.translate(_LEET))):
        parts = {each for each in re.split(r"[\W\d_]+", core) if each}
        if _is_repeated(core, common) or (len(parts) == 1 and _is_repeated(parts.pop(), common)):
            return True
    return False


def _is_repeated(text: str, common: frozenset[str]) -> bool:
    found = re.fullmatch(r"(.+?)\1*", text)
    return found is not None and found[1] in common


def _has_few_parts(text: str) -> bool:
    """Return whether a text consists of few runs: aaaaaaaa1111, abcdefgh1234, 1234567890123."""
    steps = [ord(after) - ord(before) for before, after in itertools.pairwise(text)]
    runs = [len(list(group)) + 1 for _, group in itertools.groupby(steps)]
    in_runs = sum(length for length in runs if length >= _MIN_RUN)
    return len(text) - in_runs < _MIN_RUN or len(set(text)) < _MIN_RUN


def _rest_without(text: str, words: list[str]) -> int:
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "")
    return len(re.sub(r"[\W\d_]", "", text)) if words else len(text)


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    text = resources.files("gateway.auth").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(text.split("\n")) - {""}


def _matches(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_bytes(password), stored)
    except InvalidKey:
        return False
    return True


def _bytes(password: str) -> bytes:
    # The same characters from any keyboard (NIST SP 800-63B, 3.1.1.2).
    text = unicodedata.normalize("NFC", password[: 4 * MAX_CHARACTERS])
    return text.encode("utf-8", "surrogatepass")
