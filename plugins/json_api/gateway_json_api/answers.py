"""What the addresses have in common: how an answer is written, how big a page is."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.plugin import Gateway, InvalidInput, Problem, encode

_MAX_PAGE: Final = 100

OpenGateway = NamedDependency[SkipValidation[Gateway]]
"""The gateway, open, as a handler asks for it."""


def json_answer(body: Any, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Answer with ``body`` as the wire has it."""
    media_type = "application/json; charset=utf-8"
    return Response(encode(body), media_type=media_type, headers=headers)


def check_size(sent: Sequence[Any], name: str, most: int) -> None:
    """Refuse a batch that is empty or holds more than ``most``."""
    if not 1 <= len(sent) <= most:
        problem = Problem(f"send 1 to {most} at a time", field=name)
        raise InvalidInput(f"{name} must hold 1 to {most} entries.", [problem])


def page_size(limit: int) -> int:
    """Return how many to show; raises ``InvalidInput`` outside of 1 to 100."""
    if not 1 <= limit <= _MAX_PAGE:
        raise InvalidInput(f"limit must be between 1 and {_MAX_PAGE}.")
    return limit


def aware(moment: datetime | None) -> datetime | None:
    """Read a time that names no zone as UTC."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def all_problems(faults: Iterable[tuple[int, Sequence[Problem]]]) -> list[Problem]:
    """Put the reasons for each entry of a batch into one list, each with its index."""
    return [
        Problem(problem.message, index=index, field=problem.field)
        for index, problems in faults
        for problem in problems
    ]
