"""Submissions, their results, and the stored form of the results."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.plugin import Caller, KeyedRequest, Problem
from gateway_rx_queue.mapping import Candidate
from gateway_rx_queue.schema import ResultOut, State


class SubmissionResult(msgspec.Struct, frozen=True):
    """The result of a submission. ``replayed`` for the stored answer to an earlier request."""

    results: tuple[ResultOut, ...]
    warnings: tuple[Problem, ...] = ()
    states: Mapping[str, State] = {}
    """The states of jobs that were stored before, by queue id."""
    replayed: bool = False


class Submission(NamedTuple):
    """Prescriptions submitted together. ``request`` is the key of their stored answer."""

    caller: Caller
    candidates: tuple[Candidate, ...]
    request: KeyedRequest | None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(SubmissionResult)


def encode_result(result: SubmissionResult) -> bytes:
    """Return the stored form of a result."""
    return _ENCODER.encode(result)


def decode_result(response: bytes) -> SubmissionResult:
    """Return a stored result, marked as replayed."""
    return msgspec.structs.replace(_DECODER.decode(response), replayed=True)
