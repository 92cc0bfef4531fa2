"""The recognised columns, for the checks across columns. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.plugin import Problem
from gateway_csv.columns.reading import HALF, Column, DoubtfulColumns, Sample, share
from gateway_csv.columns.wording import has_comma

FEWEST_ROWS: Final = 3
NEARLY_ALL: Final = 0.9
PLACE: Final = re.compile(r"\b[A-Z]{2},? (?:\d{5}|[A-Z]\d[A-Z] ?\d[A-Z]\d)\b")
_HOUSE: Final = re.compile(r"\d+")
_NAME_FIELDS: Final = ("patient_name", "last_first", "first_name", "middle_name", "last_name")


class TakenColumns(NamedTuple):
    """The recognised columns, by field, and their cells row by row."""

    columns: Sequence[Column]
    sample: Sample
    by_field: Mapping[str, Sequence[Column]]

    def texts(self, column: Column) -> Sequence[str]:
        """Return a column's filled cells, if there are enough to judge a column."""
        return self.sample.texts(column.place)

    def rows(self, column: Column) -> Sequence[str]:
        """Return a column's text in each row, empty without a value."""
        return self.sample.cells(column.place)

    def taken(self, *fields: str) -> Iterator[Column]:
        """Yield the columns of these fields that the sender didn't choose."""
        for field in fields:
            yield from (each for each in self.by_field.get(field, ()) if is_judged(each))

    def names(self) -> list[str]:
        """Return the patient's whole name in each row, in small letters."""
        parts = [self.rows(each) for field in _NAME_FIELDS for each in self.by_field.get(field, ())]
        return [" ".join(filter(None, each)).casefold() for each in zip(*parts, strict=True)]

    def houses(self) -> list[str]:
        """Return the numbers in each row's street, so that spellings make no difference."""
        streets = [
            self.rows(each)
            for field in ("street_number", "patient_address")
            for each in self.by_field.get(field, ())
        ]
        joined = [" ".join(filter(None, each)) for each in zip(*streets, strict=True)]
        return [next(iter(_HOUSE.findall(each)), each.casefold()) for each in joined]

    def lacks_city(self) -> bool:
        """Return whether neither a column nor most addresses have a city."""
        cities = [*self.by_field.get("city", ()), *self.by_field.get("locality", ())]
        if any(map(self.texts, cities)):
            return False
        streets = self.by_field.get("patient_address", ())
        return share([text for each in streets for text in self.texts(each)], has_comma) < HALF


def is_judged(column: Column) -> bool:
    """Return whether a column is checked: a sender's choice, or a known layout, isn't."""
    return column.how not in {"chosen", "remembered", "layout"}


NAMELESS: Final = "a column without a header"


def doubted(column: Column, why: str) -> DoubtfulColumns:
    """Return the refusal of a file because of one column, with the way to overrule it."""
    return DoubtfulColumns(
        f"It is in doubt whether a column is {column.field}.",
        [
            Problem(
                f"{column.header} may be something else than {column.field}: {why}. If it is "
                f'right, say so (--column "{column.header}={column.field}"); else correct the file',
                field=column.field,
            )
        ],
        headers=[column.header],
    )
