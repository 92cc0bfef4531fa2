"""Submissions, what became of them, and the same request sent again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from gateway.plugin import (
    AsyncConnection,
    Caller,
    Conflict,
    Idempotency,
    IdempotencyKeyReused,
    KeptAnswer,
    Problem,
    kept_answers,
)
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
    """Prescriptions handed in together. ``key`` is what their answer is kept under."""

    caller: Caller
    candidates: tuple[Candidate, ...]
    idempotency: Idempotency | None
    key: tuple[str, bytes] | None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Taken)


def kept_form(taken: Taken) -> bytes:
    """Write an answer as it is kept."""
    return _ENCODER.encode(taken)


async def replays(
    connection: AsyncConnection, batch: Sequence[Submission], now: datetime
) -> tuple[dict[int, Taken | Exception], list[int]]:
    """Answer what was answered before; what is left is new."""
    kept = await kept_answers(connection, {each.key for each in batch if each.key}, now)
    answers: dict[int, Taken | Exception] = {}
    fresh: list[int] = []
    running = set()
    for place, submission in enumerate(batch):
        key, idempotency = submission.key, submission.idempotency
        if key is None or idempotency is None:
            fresh.append(place)
        elif key in kept:
            answers[place] = _replay(kept[key], idempotency)
        elif key in running:
            text = "The first request with this Idempotency-Key is still running; try again."
            answers[place] = Conflict(text)
        else:
            running.add(key)
            fresh.append(place)
    return answers, fresh


def _replay(kept: KeptAnswer, idempotency: Idempotency) -> Taken | Exception:
    if kept.request_digest != idempotency.request_digest:
        return IdempotencyKeyReused(
            "This Idempotency-Key was used with another request body; use a new key for a new "
            "request."
        )
    return msgspec.structs.replace(_DECODER.decode(kept.response), replayed=True)
