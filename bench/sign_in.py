"""How long a wrong password takes for a known and for an unknown person: `python bench/sign_in.py`.

Whole sign-ins over a SQLite file, with Argon2id as it is, in turns. Each comes from another
address, so that no pause is measured. Figures depend on the machine: no test looks at them.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from gateway.auth.enrolment import Choice
from gateway.auth.sign_in import Browser
from gateway.auth.totp import code_at, step_of
from gateway.errors import NotAuthenticated
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.testing.schema import lay_schema

ORIGIN: Final = "http://localhost:8080"
KNOWN: Final = "amara@lakeside.example"
UNKNOWN: Final = "nobody@lakeside.example"
TRIES: Final = 200


async def _owner(gateway: Gateway) -> None:
    import base64

    enrolment = gateway.identity.enrolment
    code = await enrolment.new_owner_code()
    set_up = await enrolment.begin_owner(code or "", "Amara", KNOWN)
    secret = base64.b32decode(set_up.secret + "=" * (-len(set_up.secret) % 8))
    now = code_at(secret, step_of(gateway.clock.now()))
    choice = Choice(password="correct bottle stable", code=now)  # noqa: S106 - made up
    await enrolment.finish(set_up.token, choice, Browser("192.0.2.1", ORIGIN))


async def _seconds(gateway: Gateway, login: str, number: int) -> float:
    browser = Browser(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", ORIGIN)
    began = time.perf_counter()
    try:
        await gateway.identity.sign_in.with_password(login, "a wrong password", "000000", browser)
    except NotAuthenticated:
        return time.perf_counter() - began
    raise AssertionError("a wrong password opened")


async def main() -> None:
    """Measure in turns, and print the quartiles in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        settings = parse_settings("", source=None, directory=Path(folder), environ={})
        gateway = Gateway(settings)
        await lay_schema(gateway)
        async with gateway:
            await _owner(gateway)
            found: dict[str, list[float]] = {KNOWN: [], UNKNOWN: []}
            for number in range(TRIES):
                turn = (KNOWN, UNKNOWN) if number % 2 else (UNKNOWN, KNOWN)
                for place, login in enumerate(turn):
                    found[login].append(await _seconds(gateway, login, 2 * number + place))
    for name, login in (("known", KNOWN), ("unknown", UNKNOWN)):
        low, middle, high = (1000 * each for each in statistics.quantiles(found[login], n=4))
        print(f"{name:8} quartiles {low:6.1f} {middle:6.1f} {high:6.1f} ms, {TRIES} tries")
    first, second = (statistics.median(found[each]) for each in (KNOWN, UNKNOWN))
    halves = [statistics.median(found[KNOWN][start::2]) for start in (0, 1)]
    print(f"medians differ by {1000 * abs(first - second):.2f} ms; ", end="")
    print(f"those of the known person's own halves by {1000 * abs(halves[0] - halves[1]):.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
