"""Shared by the batch routes: the size check and the collected problems."""

from collections.abc import Iterable, Sequence
from typing import Any

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.plugin import Gateway, InvalidInput, Problem

OpenGateway = NamedDependency[SkipValidation[Gateway]]
"""The open gateway, as a route handler declares it."""


def check_size(sent: Sequence[Any], name: str, most: int) -> None:
    """Raise ``InvalidInput`` for an empty batch or one of more than ``most`` entries."""
    if not 1 <= len(sent) <= most:
        problem = Problem(f"send 1 to {most} at a time", field=name)
        raise InvalidInput(f"{name} must hold 1 to {most} entries.", [problem])


def all_problems(faults: Iterable[tuple[int, Sequence[Problem]]]) -> list[Problem]:
    """Collect the problems of a batch's entries into one list, each with its index."""
    return [
        Problem(problem.message, index=index, field=problem.field)
        for index, problems in faults
        for problem in problems
    ]
