"""The head of an answer goes out with its body, in one write."""

import asyncio

from gateway.http.one_write import OneWrite


class Transport:
    """Keeps what is written, as one string for each write."""

    def __init__(self):
        self.writes = []

    def write(self, data):
        self.writes.append(bytes(data))

    def close(self):
        self.writes.append(b"closed")

    def is_closing(self):
        return b"closed" in self.writes


def one_write():
    transport = Transport()
    return transport, OneWrite(transport, asyncio.get_running_loop())


async def test_head_and_body_go_out_in_one_write_and_the_rest_as_it_comes():
    transport, answer = one_write()
    answer.write(b"head ")
    answer.write(b"body")
    answer.write(b"more")
    await asyncio.sleep(0)

    assert transport.writes == [b"head body", b"more"]


async def test_the_head_of_a_stream_does_not_wait_for_its_first_line():
    transport, answer = one_write()
    answer.write(b"head")
    await asyncio.sleep(0)
    assert transport.writes == [b"head"]

    answer.write(b"line")
    assert transport.writes == [b"head", b"line"]


async def test_a_large_body_is_not_copied():
    transport, answer = one_write()
    answer.write(b"head")
    answer.write(bytes(100_000))

    assert [len(each) for each in transport.writes] == [4, 100_000]


async def test_what_was_kept_goes_out_before_the_connection_closes():
    transport, answer = one_write()
    answer.write(b"head")
    answer.close()
    await asyncio.sleep(0)

    assert transport.writes == [b"head", b"closed"]
    assert answer.is_closing()
