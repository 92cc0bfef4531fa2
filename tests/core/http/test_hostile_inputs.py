"""No input blocks the event loop: no turn of it uses more than 100 ms of CPU time.

The clock is the loop thread's own CPU time, so a busy machine doesn't matter.
"""

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Iterator

import pytest

PLUGINS = """
[http]
failed_keys_per_minute = 100000
[limits]
orders_requests_per_minute = 1000000
orders_per_hour = 1000000
[plugins.json_api]
[plugins.csv]
[plugins.webhooks]
[plugins.rx_queue]
"""
MOST_SECONDS = 0.1
ORDERS = "/api/webhook/orders"
RX = "/api/rx"


class Turns:
    """The longest turn of the event loop, in CPU seconds, and what ran in it."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.place = ""


@contextlib.contextmanager
def measured_turns() -> Iterator[Turns]:
    """Measure every callback that the event loop runs in this thread."""
    turns = Turns()
    run = asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        try:
            run(handle)
        finally:
            seconds = time.thread_time() - began
            if seconds > turns.longest:
                turns.longest, turns.place = seconds, repr(handle)

    asyncio.Handle._run = measured
    gc.collect()
    gc.disable()  # the test's own objects; a server freezes what it made at its start
    try:
        yield turns
    finally:
        gc.enable()
        asyncio.Handle._run = run


def multipart(headers: str, content: bytes) -> bytes:
    return (
        b"--b\r\nContent-Disposition: form-data; name=columns\r\n"
        + headers.encode()
        + b"\r\n"
        + content
        + b"\r\n--b--\r\n"
    )


def order(**more: object) -> dict[str, object]:
    return {"patient_name": "A. Smith", "patient_address": "1 Ocean Dr", **more}


def orders(*each: object) -> bytes:
    return json.dumps({"orders": each}).encode()


def prescription(number: int, **more: object) -> dict[str, object]:
    """A prescription that every rule has something to read in."""
    drug = {"drug_text": "atorvastatin 20 mg tab", "sig": "take 1 tab po bid prn", "quantity": 30}
    return {
        "external_id": f"rx-{number}",
        "patient": {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01"},
        "prescriber": {"name": "Dr. Lee"},
        "medications": [drug] * 18,
        **more,
    }


def many(**drug: str) -> list[dict[str, object]]:
    return [prescription(number, medications=[drug] * 18) for number in range(90)]


def prescriptions(*each: object) -> bytes:
    return json.dumps({"prescriptions": each}).encode()


HOSTILE = {
    "prescriptions of 18 drugs": (RX, prescriptions(*map(prescription, range(90)))),
    "drugs without end": (
        RX,
        b'{"prescriptions": [{"patient": {}, "medications": [' + b"{}," * 300_000 + b"{}]}]}",
    ),
    "strengths of digits": (RX, prescriptions(*many(drug_text="9" * 499))),
    "sigs of digits": (RX, prescriptions(*many(sig="1 " * 249))),
    "a text part in punycode": (
        "/api/packages/import",
        multipart("Content-Type: text/plain; charset=punycode\r\n", b"a" * 1_600_000),
    ),
    "a text part without end": ("/api/packages/import", multipart("", b"a" * 1_600_000)),
    "a thousand parts": (
        "/api/packages/import",
        multipart("", b"x")[:-6] * 1000 + b"--b--\r\n",
    ),
    "a deep list": (ORDERS, b'{"orders": ' + b"[" * 400_000 + b"]" * 400_000 + b"}"),
    "many empty objects": (ORDERS, b'{"orders": [' + b"{}," * 300_000 + b"{}]}"),
    "a number of a million digits": (
        ORDERS,
        b'{"orders": [{"copay_amount": ' + b"9" * 900_000 + b"}]}",
    ),
    "an exponent without end": (
        ORDERS,
        b'{"orders": [{"copay_amount": 1e' + b"9" * 900_000 + b"}]}",
    ),
    "phone numbers of digits alone": (
        ORDERS,
        orders(*[order(patient_phone="+1" + "3" * 4000)] * 100),
    ),
    "phone numbers of signs": (ORDERS, orders(*[order(patient_phone="+-(" * 1500)] * 100)),
    "addresses of blanks": (ORDERS, orders(*[order(patient_email=" " * 4000 + "@")] * 100)),
    "mail addresses of dots": (ORDERS, orders(*[order(patient_email="a." * 2000 + "@")] * 100)),
    "notes of combining marks": (ORDERS, orders(*[order(notes="a" + "\u0301" * 4000)] * 40)),
    "dates of digits": (ORDERS, orders(*[order(delivery_date="2" * 4000)] * 100)),
    "metadata of many names": (
        ORDERS,
        orders(*[order(metadata={f"n{n}": "x" for n in range(500)})] * 50),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_input_blocks_the_loop(harness, name):
    path, body = HOSTILE[name]
    media = "multipart/form-data; boundary=b" if "import" in path else "application/json"
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        await gateway.post(ORDERS, key, orders(order()))  # what only a first request does
        with measured_turns() as turns:
            answer = await gateway.request("POST", path, key, body, {"Content-Type": media})

    assert answer.status_code in {200, 202, 400, 413}, answer.text
    assert turns.longest < MOST_SECONDS, (turns.longest, turns.place)


async def test_a_text_part_in_another_encoding_is_refused(harness):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        body = multipart("Content-Type: text/plain; charset=punycode\r\n", b"{}")
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await gateway.request("POST", "/api/packages/import", key, body, headers)

    assert answer.status_code == 400
    assert answer.json()["error"] == "Send the text parts of a multipart body in UTF-8."


@pytest.mark.parametrize(
    "path",
    [
        "/" + "a/" * 15_000,
        "/api/packages/" + "%41" * 10_000,
        "/api/packages?" + "&".join(f"a{n}={n}" for n in range(5000)),
        "/api/packages?cursor=" + "A" * 30_000,
        "/api/packages?since=" + "1" * 30_000,
        "/api/webhooks/logs?event=" + "*." * 15_000,
    ],
    ids=["segments", "escapes", "parameters", "cursor", "since", "pattern"],
)
async def test_no_url_blocks_the_loop(harness, path):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        await gateway.get("/api/packages", key)
        with measured_turns() as turns:
            answer = await gateway.get(path, key)

    assert 200 <= answer.status_code < 500
    assert turns.longest < MOST_SECONDS, (turns.longest, turns.place)


async def test_a_turn_that_takes_long_is_found():
    with measured_turns() as turns:
        asyncio.get_running_loop().call_soon(sum, range(10_000_000))
        await asyncio.sleep(0.01)

    assert turns.longest > MOST_SECONDS
