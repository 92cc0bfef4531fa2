"""What goes into intake and tracking, and what comes back."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.errors import Problem
from gateway.model.account import Caller
from gateway.model.order import Candidate
from gateway.model.package import Status


class Idempotency(msgspec.Struct, frozen=True):
    """The caller's idempotency key, and the SHA-256 of the request it came with."""

    key: str
    request_digest: bytes


class Submission(msgspec.Struct, frozen=True):
    """Orders handed in together. ``source`` names the plugin they came through."""

    caller: Caller
    source: str
    candidates: tuple[Candidate, ...]
    idempotency: Idempotency | None = None


class OrderResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one order; ``index`` counts from 0 in the submission.

    A ``duplicate`` bears the id of the package that is already there.
    """

    index: int
    status: Literal["created", "duplicate", "rejected"]
    package_id: str | None = None
    errors: tuple[Problem, ...] = ()


class IntakeResult(msgspec.Struct, frozen=True):
    """What became of a submission. ``replayed`` when it is the kept answer to an earlier one."""

    results: tuple[OrderResult, ...]
    warnings: tuple[Problem, ...] = ()
    replayed: bool = False


class UpdateResult(msgspec.Struct, frozen=True):
    """What became of a delivery update; ``status`` is where the package stood after it.

    ``late`` news is in the timeline and changed nothing; a ``duplicate`` repeats the
    answer given to the same ``event_ref``.
    """

    event_id: str
    package_id: str
    status: Status
    outcome: Literal["applied", "late", "duplicate"] = "applied"


class AmendmentResult(msgspec.Struct, frozen=True):
    """What became of a changed order: the names of the fields that are different now.

    ``event_id`` is the ``package.updated`` that tells of it; both are empty when nothing was
    different.
    """

    package_id: str
    changed: tuple[str, ...] = ()
    event_id: str | None = None


class ErasureResult(msgspec.Struct, frozen=True):
    """Which packages are empty now; ``kept`` says by id why others are not.

    The reasons are ``under_way``, ``still_told`` and ``unknown``.
    """

    redacted: tuple[str, ...]
    kept: Mapping[str, str]
