"""Submissions, what became of them, and the form in which that is kept."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.plugin import Caller, KeyedRequest, Problem
from gateway_rx_queue.mapping import Candidate
from gateway_rx_queue.schema import ResultOut, State


class Taken(msgspec.Struct, frozen=True):
    """What became of a submission. ``replayed`` when it is the kept answer to an earlier one."""

    results: tuple[ResultOut, ...]
    warnings: tuple[Problem, ...] = ()
    states: Mapping[str, State] = {}
    """Where a job that was here before stands, by queue id."""
    replayed: bool = False


class Submission(NamedTuple):
    """Prescriptions handed in together. ``request`` is what their answer is kept under."""

    caller: Caller
    candidates: tuple[Candidate, ...]
    request: KeyedRequest | None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Taken)


def kept_form(taken: Taken) -> bytes:
    """Write an answer as it is kept."""
    return _ENCODER.encode(taken)


def replayed(response: bytes) -> Taken:
    """Return an answer that was kept, marked as such."""
    return msgspec.structs.replace(_DECODER.decode(response), replayed=True)
