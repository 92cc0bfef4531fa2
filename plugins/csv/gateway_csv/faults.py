"""All that is wrong with a row at once: whoever corrects it opens the file only one time.

What can't be read is found here, and what breaks a rule for orders is found by intake. A row
that has something of the first kind never gets as far as the second; so what could be read of
it is judged as in a dry run.
"""

from collections.abc import Sequence

from gateway.plugin import Caller, Candidate, Gateway, Problem, Submission
from gateway_csv.mapping import PARTS, SOURCE, ReadRow, row_problem
from gateway_csv.read.layout import Layout
from gateway_csv.schema import RowProblem


async def with_all_faults(
    gateway: Gateway, caller: Caller, rows: Sequence[ReadRow], layout: Layout
) -> Sequence[ReadRow]:
    """Return the rows; those with errors have what intake finds wrong with them as well."""
    faulty = [(place, read) for place, read in enumerate(rows) if read.rest is not None]
    if not faulty:
        return rows
    candidates = tuple(Candidate(read.rest) for _, read in faulty)
    judged = await gateway.intake.rehearse(Submission(caller, SOURCE, candidates))
    complete = list(rows)
    for (place, read), result in zip(faulty, judged.results, strict=True):
        complete[place] = read._replace(errors=_joined(read, result.errors, layout))
    for warning in judged.warnings:
        place, read = faulty[warning.index or 0]
        remark = row_problem(read.row, layout, warning)
        complete[place] = complete[place]._replace(warnings=(*complete[place].warnings, remark))
    return complete


def _joined(read: ReadRow, found: Sequence[Problem], layout: Layout) -> tuple[RowProblem, ...]:
    """Add what was found, but for what is only missing because it couldn't be read."""
    unread = {each.field for each in read.errors}
    more = (
        row_problem(read.row, layout, each)
        for each in found
        if unread.isdisjoint({each.field, *PARTS.get(each.field or "", ())})
    )
    return (*read.errors, *more)
