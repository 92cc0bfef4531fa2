"""What the addresses have in common: how big a batch is, what is wrong."""

from collections.abc import Iterable, Sequence
from typing import Any

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.plugin import Gateway, InvalidInput, Problem

OpenGateway = NamedDependency[SkipValidation[Gateway]]
"""The gateway, open, as a handler asks for it."""


def check_size(sent: Sequence[Any], name: str, most: int) -> None:
    """Refuse a batch that is empty or holds more than ``most``."""
    if not 1 <= len(sent) <= most:
        problem = Problem(f"send 1 to {most} at a time", field=name)
        raise InvalidInput(f"{name} must hold 1 to {most} entries.", [problem])


def all_problems(faults: Iterable[tuple[int, Sequence[Problem]]]) -> list[Problem]:
    """Put the reasons for each entry of a batch into one list, each with its index."""
    return [
        Problem(problem.message, index=index, field=problem.field)
        for index, problems in faults
        for problem in problems
    ]
