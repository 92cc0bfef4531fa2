"""A peer's create calls: each different, of the right length, with an order to be known by."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from load import _is_whole  # noqa: E402 - the bench is no package: its modules stand on the path
from orders import Calls  # noqa: E402
from sink import ORDER, ORDER_LENGTH  # noqa: E402

sys.path.remove(str(BENCH))


def test_each_call_has_an_order_of_its_own_and_the_length_of_its_body():
    call = {"path": "/msg/", "headers": {"X-Key": "k"}, "body": '{"id": "$order", "n": "$number"}'}
    calls = Calls("127.0.0.1:1", call, 7)

    first, second = calls.make(0), calls.make(1)

    head, _, body = first.partition(b"\r\n\r\n")
    at = body.index(ORDER)
    assert head.startswith(b"POST /msg/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Key: k\r\n")
    assert head.endswith(b"Content-Length: %d" % len(body))
    assert body[at + ORDER_LENGTH :] == b'", "n": "00000008"}'
    assert first != second


@pytest.mark.parametrize(
    ("head", "body", "whole"),
    [
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2", b"o", False),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2", b"ok", True),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked", b"2\r\nok\r\n", False),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content", b"", True),
    ],
)
def test_an_answer_is_whole_by_its_length_or_its_last_chunk(head, body, whole):
    assert _is_whole(head, body) is whole
