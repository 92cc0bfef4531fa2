"""Every pattern of the plugin over hostile input: its cost grows with the length, not faster.

Judged by CPU time against the same pattern on a quarter of the text, so that a busy machine
doesn't matter.
"""

import importlib
import pkgutil
import re
import time

import gateway_rx_queue
import pytest
from gateway_rx_queue.drugs.strengths import read_strengths
from gateway_rx_queue.drugs.words import drug_words
from gateway_rx_queue.rules.sig import read_sig

SHORT = 1_500
TIMES_LONGER = 4
MOST_RATIO = 3 * TIMES_LONGER
TEXTS = [
    "1",
    "1 ",
    "1.",
    "1,000",
    "a",
    "a ",
    "a.",
    "1 mg ",
    "1/",
    "tylenol ",
    "http://a/",
    "/ca-on-",
]
TEXTS += ["--", " - ", "simulate:", "é", "½", "x1", "q1h", "A/b", "://", "patient-"]


def patterns():
    for found in pkgutil.walk_packages(gateway_rx_queue.__path__, "gateway_rx_queue."):
        if ".migrations" in found.name:
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield pytest.param(value, id=f"{found.name}.{name}")


def spent(work):
    best = float("inf")
    for _ in range(2):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def run_all(pattern, text):
    pattern.findall(text)
    pattern.fullmatch(text)
    pattern.search(text)


@pytest.mark.parametrize("pattern", list(patterns()))
def test_a_pattern_takes_time_in_proportion_to_its_text(pattern):
    check(pattern, SHORT, TEXTS)


def check(pattern, size, pieces):
    for piece in pieces:
        short = (piece * size)[:size]
        long = (piece * size * TIMES_LONGER)[: size * TIMES_LONGER]
        quick = spent(lambda text=short: run_all(pattern, text))
        # Below a millisecond a clock tells nothing.
        assert spent(lambda text=long: run_all(pattern, text)) <= max(quick, 0.001) * MOST_RATIO


@pytest.mark.parametrize("read", [read_strengths, drug_words, read_sig])
def test_a_reader_takes_time_in_proportion_to_its_text(read):
    for piece in TEXTS:
        quick = spent(lambda text=(piece * SHORT)[:SHORT]: read(text))
        long = (piece * SHORT * TIMES_LONGER)[: SHORT * TIMES_LONGER]
        assert spent(lambda text=long: read(text)) <= max(quick, 0.001) * MOST_RATIO


@pytest.mark.long
@pytest.mark.slow
def test_a_quadratic_pattern_is_found():
    pattern = re.compile(r"\d+(?:[.,]\d+)?\s*mg")

    with pytest.raises(AssertionError):  # one digit run, begun again at each of its digits
        check(pattern, 2 * SHORT, ["1"])
