"""The inputs of intake and tracking, and their results."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.errors import Problem
from gateway.model.account import Caller
from gateway.model.order import Candidate
from gateway.model.package import Status
from gateway.model.plan import PlanRefusal


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
    """The result for one order; ``index`` counts from 0 in the submission.

    A ``duplicate`` carries the id of the existing package.
    """

    index: int
    status: Literal["created", "duplicate", "rejected"]
    package_id: str | None = None
    errors: tuple[Problem, ...] = ()


class IntakeResult(msgspec.Struct, frozen=True):
    """The result of a submission. ``replayed``: the stored response to an earlier one.

    ``plan`` says why orders were refused that the account's plan has no room for.
    """

    results: tuple[OrderResult, ...]
    warnings: tuple[Problem, ...] = ()
    replayed: bool = False
    plan: PlanRefusal | None = None

    @property
    def is_beyond_plan(self) -> bool:
        """Whether the plan has no room for any of the orders: none was created or there before."""
        return self.plan is not None and all(each.status == "rejected" for each in self.results)


class UpdateResult(msgspec.Struct, frozen=True):
    """The result of a delivery update; ``status`` is the package's status after it.

    ``late`` news is in the timeline and changed nothing; a ``duplicate`` repeats the
    answer given to the same ``event_ref``.
    """

    event_id: str
    package_id: str
    status: Status
    outcome: Literal["applied", "late", "duplicate"] = "applied"


class AmendmentResult(msgspec.Struct, frozen=True):
    """The result of an amendment: the names of the changed fields.

    ``event_id`` is the ``package.updated`` that reports it; both are empty when nothing was
    different.
    """

    package_id: str
    changed: tuple[str, ...] = ()
    event_id: str | None = None


class ErasureResult(msgspec.Struct, frozen=True):
    """The packages erased; ``kept`` has the reason for each of the others, by id.

    The reasons are ``under_way``, ``still_told`` and ``unknown``.
    """

    redacted: tuple[str, ...]
    kept: Mapping[str, str]
