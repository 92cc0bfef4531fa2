"""What the chosen columns say of each other: doubts that no single column raises.

A doctor under *Patient Name* shows by standing at many addresses, an amount that was merged into
the notes by the missing column of amounts. Each doubt refuses the file, and says how to overrule
it: a column that the sender chose is not doubted.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.plugin import Problem
from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.evidence import fit, is_phone, is_postal_code, says_street
from gateway_csv.columns.headers import is_quantity, meaning_of, words_of_others
from gateway_csv.columns.reading import HALF, Column, DoubtfulColumns, Sample, share
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.wording import has_comma, has_doctors_title, is_note, note_behind_address

_FEWEST_ROWS: Final = 3
_FEWEST_FOR_REPEATS: Final = 8
_SOME: Final = 0.3
_NEARLY_ALL: Final = 0.9
_CENTS: Final = re.compile(r"\D*\d+[.,]\d{2}\D*")
_RX_PREFIX: Final = re.compile(r"rx[-# ]?\d.*", re.IGNORECASE)
_MARKED: Final = re.compile(r"(?:[A-Z]{1,4}[-#]?|#)\d{3,}|\d{6,}")
_HASH: Final = re.compile(r"#\d+")
_DIGITS: Final = re.compile(r"\d{4,}")
_LONG_HASH: Final = re.compile(r"(?:.*\W)?#(\d{4,})")
_LONGEST_STEP: Final = 10
# Pieces in a box, and postal codes: what an id rarely is throughout.
_COUNT_OR_ZIP: Final = re.compile(r"\d{1,2}[05]|\d{5}")
_LETTERED: Final = re.compile(r"(?:[A-Z]{1,4}[-#]?|#)\d{3,}")
_TWO_CODES: Final = re.compile(
    r"(?:[A-Z]{1,4}-?)?\d{4,}-[A-Z]{1,4}-?\d{4,}|[A-Z]{1,4}-?\d{4,}-\d{4,}"
)
_ORDER_PREFIX: Final = re.compile(r"(?:so|ord|order|inv|po)[-# ]?\d.*", re.IGNORECASE)
_PATIENT_PREFIX: Final = re.compile(r"(?:p|pt|pat|mrn|cust|client)[-# ]?\d.*", re.IGNORECASE)
_PATIENT_INSIDE: Final = re.compile(
    r".*[-/ ](?:p|pt|pat|mrn)-?\d{3,}|(?:p|pt|pat|mrn)-?\d{3,}[-/ ].*"
)
_SHORT_ZIP: Final = re.compile(r"\d{3,4}|[A-Z]{2}-\d{4,5}")
_ZIP: Final = re.compile(r"\d{5}")
_PLACE: Final = re.compile(r"\b[A-Z]{2},? (?:\d{5}|[A-Z]\d[A-Z] ?\d[A-Z]\d)\b")
_LONG_NUMBER: Final = re.compile(r"[A-Z]{0,4}[-#]?\d{4,}")
_NUMBER: Final = r"[A-Z]{0,4}[-#]?\d{3,}"
_TWO_NUMBERS: Final = re.compile(
    rf"(?P<number>{_NUMBER})(?:\s|[^\w\s-]|\s-\s)+(?P<house>\d{{1,6}})[A-Za-z]? +[^\W\d_]"
)
_NUMBER_BEHIND: Final = re.compile(
    rf"(?P<house>\d{{1,6}})[A-Za-z]? +[^\W\d_][^\d,]*[^\w#-]\s*(?P<number>{_NUMBER})(?=$|[,\n])"
)
_HOUSE: Final = re.compile(r"\d+")
_BEHIND_GAP: Final = re.compile(r"\S {2,}[^\W\d_]{3,}(?: [^\W\d_]+)*$")
_BESIDE_NAMES: Final = (_BEHIND_GAP.search, re.compile(r"[^\W\d_]\s*[&|;\t\n]\s*[^\W\d_]").search)
_STATE_BEFORE_HOUSE: Final = re.compile(r"([A-Z]{2})[\s,;/|&-]+\d{1,6}[A-Za-z]? +[^\W\d_]{2}")
_HOME: Final = re.compile(
    r"\b(?:residences?|homes?|villas?|lodge|cent(?:re|er)|gardens?|apartments|towers?|village|"
    r"hospital|clinic|church|school|inn|hotel|heights|care|living|hall)\b",
    re.IGNORECASE,
)
_CITY_BEFORE_HOUSE: Final = re.compile(
    r"(?P<city>[^\W\d_][^\d,;/|&\t\n]*?)[\s,;/|&-]+\d{1,6}[A-Za-z]? +[^\W\d_]{2}"
)
_JOINED: Final = re.compile(r"[^\W\d_]-[^\W\d_]{2,}")
_NAME_FIELDS: Final = ("patient_name", "last_first", "first_name", "middle_name", "last_name")
_CODES: Final = ("rx_number", "external_patient_id", "external_order_id")
_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    **dict.fromkeys(_CODES, re.compile(r".*\d").match),
    "copay_amount": _CENTS.fullmatch,
    "delivery_date": could_be_date,
    "patient_phone": is_phone,
    "postal_code": is_postal_code,
}
_LEFT, _RIGHT = r"(?:{})(?=$|[\s,;/|&-])", r"(?<![^\s,;/|&-])(?:{})"
_IN_NOTES: Final[Sequence[tuple[str, str, tuple[str, ...], float]]] = (
    ("a date", r"20\d{2}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})", ("delivery_date",), _SOME),
    ("an amount", r"\$ ?\d[\d.,]*|\d{1,5}[.,]\d{2}", ("copay_amount",), _SOME),
    ("a telephone number", r"\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}", ("patient_phone",), HALF),
    ("an e-mail address", r"[^\s@,;/|]+@[^\s@,;/|]+\.[a-z]{2,}", ("patient_email",), _SOME),
    ("a postal code", r"\d{5}(?:-\d{4})?|[A-Z]\d[A-Z] ?\d[A-Z]\d", ("postal_code",), HALF),
    ("a number", r"[A-Z]{0,4}[-#]?\d{5,12}|[A-Z]{1,4}[-#]?\d{4,12}|#\d{4,12}", _CODES, HALF),
    ("a number", r"\d{4}", _CODES, _NEARLY_ALL),
    ("a unit of an address", r"(?:apt|unit|suite) ?#?\d\w{0,4}", ("address2",), _SOME),
    ("a priority", r"routine|urgent|stat|rush|normal", ("priority",), _SOME),
)
"""What stands at one end of most notes: its name, its form, its fields, from which share on."""
_ANSWER_END: Final = re.compile(r"(?:^|[\s,;/|&-])(?:yes|no|y|n)$", re.IGNORECASE)
_ANSWER_IN_FRONT: Final = re.compile(r"(?:yes|no|y|n)(?:\s*[,;/|&\t\n-]| {2,})", re.IGNORECASE)
_CITY_IN_FRONT: Final = re.compile(
    r"[A-Z][\w.]*(?: [A-Z][\w.]*){0,2}(?:\s*[-/|;,&\t\n]\s*|\s{2,})(?=\w)"
)
_MARKS: Final[Sequence[tuple[str, re.Pattern[str], re.Pattern[str], tuple[str, ...], float]]] = (
    tuple(
        (
            name,
            re.compile(_LEFT.format(form), re.IGNORECASE),
            re.compile(_RIGHT.format(form) + "$", re.IGNORECASE),
            fields,
            least,
        )
        for name, form, fields, least in _IN_NOTES
    )
)


class _Table(NamedTuple):
    """The columns that were taken, by field, and what their cells say row by row."""

    columns: Sequence[Column]
    sample: Sample
    by_field: Mapping[str, Sequence[Column]]

    def texts(self, column: Column) -> Sequence[str]:
        """Return a column's filled cells, at least as many as say something of a column."""
        return self.sample.texts(column.place)

    def rows(self, column: Column) -> Sequence[str]:
        return self.sample.cells(column.place)

    def taken(self, *fields: str) -> Iterator[Column]:
        """Yield the columns of these fields that the sender didn't choose."""
        for field in fields:
            yield from (each for each in self.by_field.get(field, ()) if is_judged(each))

    def names(self) -> list[str]:
        parts = [self.rows(each) for field in _NAME_FIELDS for each in self.by_field.get(field, ())]
        return [" ".join(filter(None, each)).casefold() for each in zip(*parts, strict=True)]

    def houses(self) -> list[str]:
        """Return the numbers in each row's street: another spelling is no other address."""
        streets = [
            self.rows(each)
            for field in ("street_number", "patient_address")
            for each in self.by_field.get(field, ())
        ]
        joined = [" ".join(filter(None, each)) for each in zip(*streets, strict=True)]
        return [next(iter(_HOUSE.findall(each)), each.casefold()) for each in joined]

    def lacks_city(self) -> bool:
        """Say whether neither a column nor most addresses have a city."""
        if self.by_field.keys() & {"city", "locality"}:
            return False
        streets = self.by_field.get("patient_address", ())
        return share([text for each in streets for text in self.texts(each)], has_comma) < HALF


def is_judged(column: Column) -> bool:
    """Say whether a column may be doubted: a sender's choice, or a known layout, is not."""
    return column.how not in {"chosen", "remembered", "layout"}


def check_columns(columns: Sequence[Column], sample: Sample) -> None:
    """Raise ``InvalidInput`` where the columns together say that one of them is something else."""
    if any(each.how == "layout" for each in columns):
        return
    by_field: dict[str, list[Column]] = {}
    for each in columns:
        if each.field is not None:
            by_field.setdefault(each.field, []).append(each)
    table = _Table(columns, sample, by_field)
    for check in _CHECKS:
        check(table)


def _check_names(table: _Table) -> None:
    """Doubt names with a doctor's title, one at many addresses, and cells that are none."""
    for column in table.taken("patient_name", "last_first", "first_name", "last_name"):
        if fit(column.field or "", table.texts(column), is_garbled_fine=True) <= HALF:
            raise doubted(column, "half of its cells are no names")
        texts = table.texts(column)
        is_bare = column.field == "last_first" and share(texts, has_comma) == 0
        if is_bare and not all(" " in each for each in texts):
            raise doubted(column, "none of its cells has a comma")
    for column in table.taken("patient_name", "last_first", "last_name"):
        if share(table.texts(column), has_doctors_title) > HALF:
            raise doubted(column, "its names have a doctor's title")
        others = _others(table, "patient_name")
        is_beaten = any(len(each) > len(set(table.texts(column))) for each in others)
        if is_beaten and _repeats(table.names(), table.houses()) and column.field != "last_name":
            raise doubted(column, "the same name stands at several addresses")
        ends = Counter(
            end
            for each in table.texts(column)
            for end in {each.split()[0], each.split()[-1]}
            if len(end) == 2 and end.isupper() and is_region(end)  # noqa: PLR2004
        )
        if any(2 * count > len(table.texts(column)) for count in ends.values()):
            raise doubted(column, "its names have a state or a province in them")
        if table.lacks_city() and _may_end_with_city(table.texts(column)):
            raise doubted(column, "its cells may have the city behind the name")


def _may_end_with_city(names: Sequence[str]) -> bool:
    """Say whether most names have something behind a gap or a mark, or all behind a hyphen."""
    is_joined = len(names) > 1 and share(names, _JOINED.search) > _NEARLY_ALL
    return is_joined or any(share(names, each) > HALF for each in _BESIDE_NAMES)


def _check_first_names(table: _Table) -> None:
    """Doubt whole names under *First Name* that stand at several addresses."""
    for column in table.taken("first_name"):
        texts = table.texts(column)
        is_whole = share(texts, lambda each: " " in each) > HALF
        others = _others(table, "patient_name")
        is_beaten = any(len(each) > len(set(texts)) for each in others)
        at: dict[str, set[str]] = {}
        for name, house in zip(table.rows(column), table.houses(), strict=False):
            at.setdefault(name, set()).add(house)
        if is_whole and is_beaten and max(map(len, at.values()), default=0) >= _FEWEST_ROWS:
            raise doubted(column, "the same whole name stands at several addresses")
        has_repeated = len(set(texts)) < len(texts)
        are_short = any(each and not any(" " in name for name in each) for each in others)
        if is_whole and has_repeated and are_short:
            raise doubted(column, "its cells are whole names, and another party's are first names")


def _others(table: _Table, field: str) -> list[set[str]]:
    """Return what other parties' columns for ``field`` have in them."""
    return [
        set(table.texts(each))
        for each in table.columns
        if each.field is None
        and (meaning := meaning_of(each.header)) is not None
        and (meaning.field, meaning.role) == (field, "other")
    ]


def _repeats(values: Sequence[str], houses: Sequence[str]) -> bool:
    """Say whether most rows have a value that stands at another address in each of its rows."""
    if not houses or len(values) < _FEWEST_ROWS:
        return False
    at: dict[str, list[str]] = {}
    for value, house in zip(values, houses, strict=True):
        if value and house:
            at.setdefault(value, []).append(house)
    several = sum(len(each) for each in at.values() if 1 < len(each) == len(set(each)))
    return several >= _FEWEST_ROWS and 2 * several > len(values)


def _check_phones(table: _Table) -> None:
    columns = list(table.taken("patient_phone"))
    houses = table.houses()
    for column in columns:
        if share(table.texts(column), _has_words) > HALF:
            raise doubted(column, "its cells have more than a telephone number in them")
    for column in columns[:1] if len(columns) == 1 else ():
        numbers = table.rows(column)
        said = [each for each in numbers if each]
        others = _others(table, "patient_phone")
        is_repeated = len(set(said)) < len(said) and len({*zip(numbers, houses, strict=False)}) > (
            len(set(numbers))
        )
        if is_repeated and any(len(each) > len(set(said)) for each in others):
            raise doubted(column, "the same number stands at several addresses")


def _has_words(text: str) -> bool:
    """Say whether a cell has words beside a number; one that has no number is left out."""
    return bool(re.search(r"[^\W\d_]{4}", text) and re.search(r"\d{3}\D{0,3}\d{4}", text))


def _check_codes(table: _Table) -> None:
    """Doubt an id that other patients have too, and one whose letters say that it is another's."""
    names = table.names()
    for column in table.taken(*_CODES):
        texts = table.texts(column)
        at: dict[str, set[str]] = {}
        for value, name in zip(table.rows(column), names, strict=False):
            if value and name:
                at.setdefault(value, set()).add(name)
        several = sum(len(each) > 1 for each in at.values())
        is_one_orders = column.field == "external_order_id"  # the rows' own conflict
        if not is_one_orders and len(texts) >= _FEWEST_ROWS and at and 2 * several >= len(at):
            raise doubted(column, "the same number stands at several patients")
        before = [each for each in table.columns if each.place == column.place - 1]
        is_after_empty = any(each.field in _CODES and not table.texts(each) for each in before)
        if is_after_empty and share(texts, _DIGITS.fullmatch) > HALF:
            raise doubted(column, f"its numbers may be those of {before[0].header}, which is empty")
        _check_marks(table, column, texts)


def _check_moved(table: _Table) -> None:
    """Doubt a column behind an unknown one where no row reaches to the last.

    A header was put in: each name stands over the cells of the column behind its own.
    """
    last = table.columns[-1]
    if any(len(row.cells) > last.place for row in table.sample.rows):
        return
    for before, column in itertools.pairwise(table.columns):
        is_unknown = before.field is None and meaning_of(before.header) is None
        if column.field is None or not is_unknown or not is_judged(column):
            continue
        behind = table.columns[before.place :]
        if all(
            _would_be(after.field or "", table.texts(each))
            for each, after in itertools.pairwise(behind)
        ):
            raise doubted(
                column,
                f"{before.header or _NAMELESS} may have its cells, as {last.header} is empty",
            )


def _would_be(field: str, texts: Sequence[str]) -> bool:
    """Say whether a column has cells, and all have a form that ``field`` has."""
    form = _FORMS.get(field)
    return form is not None and share(texts, form) == 1 == fit(field, texts)


def _check_marks(table: _Table, column: Column, texts: Sequence[str]) -> None:
    """Doubt numbers that are marked as those of another column: ``RX-1``, ``P-1``, ``SO-1``."""
    is_plain = share(texts, _COUNT_OR_ZIP.fullmatch) == 1
    for each in table.columns:
        is_count, form = is_quantity(each.header), _MARKED
        if is_plain and not is_count and meaning_of(each.header) is None:
            is_count, form = True, _LETTERED
        if each.field is None and is_count and share(table.texts(each), form.fullmatch) > HALF:
            raise doubted(column, f"{each.header or _NAMELESS} has numbers like it")
    if column.field != "external_patient_id" and (
        share(texts, _PATIENT_PREFIX.fullmatch) > HALF
        or share([each.casefold() for each in texts], _PATIENT_INSIDE.fullmatch) > HALF
    ):
        raise doubted(column, "its numbers are marked as a patient's")
    if column.field != "rx_number" and share(texts, _RX_PREFIX.fullmatch) > HALF:
        raise doubted(column, "its numbers are marked as a prescription's")
    if column.field == "external_patient_id" and share(texts, _HASH.fullmatch) > HALF:
        raise doubted(column, "its numbers are marked as an order's")
    lacking = [each for each in _CODES if each not in table.by_field]
    if lacking and share(texts, _TWO_CODES.fullmatch) > HALF:
        raise doubted(column, "its cells have two numbers in them")
    if column.field != "external_order_id" and share(texts, _ORDER_PREFIX.fullmatch) > HALF:
        raise doubted(column, "its numbers are marked as an order's")


def _check_amounts(table: _Table) -> None:
    """Doubt counts under *Copay* beside amounts under *Qty*."""
    for column in table.taken("copay_amount"):
        if share(table.texts(column), _CENTS.fullmatch) > 0 or not table.texts(column):
            continue
        for other in table.columns:
            is_amount = share(table.texts(other), _CENTS.fullmatch) > HALF
            if other.field is None and is_quantity(other.header) and is_amount:
                raise doubted(column, f"it has no cents, and {other.header} has")


def _check_dates(table: _Table) -> None:
    """Doubt a column of days that has none, beside another that has, or in all of its cells."""
    for column in table.taken("delivery_date"):
        texts = table.texts(column)
        days = share(texts, could_be_date)
        if not texts or days >= HALF:
            continue
        others = [each for each in table.columns if each.field is None]
        is_beaten = any(share(table.texts(each), could_be_date) > HALF for each in others)
        if is_beaten or (days == 0 and len(texts) > 1):
            raise doubted(column, "its cells are no dates")


def _check_notes(table: _Table) -> None:
    """Doubt notes that have something of a column in them that the file lacks."""
    for column in table.taken("notes"):
        texts = table.texts(column)
        if (
            len(texts) >= _FEWEST_ROWS
            and "requires_signature" not in table.by_field
            and share(texts, _has_answer) > _NEARLY_ALL
        ):
            raise doubted(column, "its notes end with yes or no, as a column of signatures does")
        for name, left, right, fields, least in _MARKS:
            if all(each in table.by_field for each in fields):
                continue
            at_left = share(texts, left.match)
            if max(at_left, share(texts, right.search)) > least:
                raise doubted(
                    column,
                    f"many of its notes have {name} at one end, and the file has no column for "
                    f"{next(each for each in fields if each not in table.by_field)}",
                )
        _check_places_in_notes(table, column, texts)


def _has_answer(text: str) -> bool:
    return bool(_ANSWER_END.search(text) or _ANSWER_IN_FRONT.match(text))


def _check_places_in_notes(table: _Table, column: Column, texts: Sequence[str]) -> None:
    """Doubt notes with a city or a state in them, and those that another column has."""
    others = [
        each
        for each in table.columns
        if each.field is None
        and meaning_of(each.header) is None
        and not words_of_others(each.header)
    ]
    for each in others if not any(map(is_note, texts)) else ():
        if share(table.texts(each), is_note) > _SOME:
            raise doubted(column, f"{each.header or _NAMELESS} has notes")
    if "state" not in table.by_field and share(texts, _has_state_behind) > HALF:
        raise doubted(column, "its notes have a state or a province behind them")
    if table.lacks_city() and share(texts, _CITY_IN_FRONT.match) > HALF:
        raise doubted(column, "its notes may have the city in front of them")
    has_place = bool(table.by_field.keys() & {"city", "locality", "postal_code"})
    if not has_place and share(texts, _PLACE.search) > HALF:
        raise doubted(column, "its notes have a city and a postal code in them")
    if share(texts, _is_whole_street) > HALF:
        raise doubted(column, "its notes are addresses")


def _has_state_behind(text: str) -> bool:
    parts = [each.strip() for each in _PARTED.split(text)] + [text.rpartition(" ")[2]]
    states = [each for each in parts if _STATE.fullmatch(each) and is_region(each)]
    return bool(states) and not text.isupper()


def _is_whole_street(text: str) -> bool:
    return bool(re.fullmatch(r"\d+ [A-Z].*", text)) and len(text.split()) <= _MOST_WORDS


_MOST_WORDS: Final = 6
_PARTED: Final = re.compile(r"[|;/,&\t\n]|\s{2,}| - ")
_STATE: Final = re.compile(r"(?!OK|ID|HI)[A-Z]{2}")  # these three are words of notes
_NAMELESS: Final = "a column without a header"


def _check_address(table: _Table) -> None:
    """Doubt words of a note behind the street, and a state without a city."""
    for column in table.taken("patient_address"):
        texts = table.texts(column)
        if "notes" not in table.by_field and share(texts, note_behind_address) >= HALF:
            raise doubted(column, "its addresses have words of a note behind the street")
        for place, pattern in (("in front", _TWO_NUMBERS), ("behind the street", _NUMBER_BEHIND)):
            if _has_numbers(texts, pattern):
                raise doubted(column, f"its addresses have a number of something else {place}")
        if not table.by_field.keys() & {"city", "locality"} and _begin_with_city(texts):
            raise doubted(column, "its addresses may have the city in front of the street")
        if "state" not in table.by_field and share(texts, _begins_with_state) > HALF:
            raise doubted(column, "its addresses have a state or a province in front of the street")
        fields = table.by_field.keys()
        lacks_city = "state" in fields and not fields & {"city", "locality"}
        if lacks_city and share(texts, has_comma) < HALF:
            raise DoubtfulColumns(
                "An address has a state or a province, and no city.",
                [
                    Problem(
                        "map the column with the city, or leave the state out "
                        f'(--column "{table.by_field["state"][0].header}=ignore")',
                        field="city",
                    )
                ],
                headers=[table.by_field["state"][0].header],
            )


def _begins_with_state(address: str) -> bool:
    found = _STATE_BEFORE_HOUSE.match(address)
    return found is not None and is_region(found[1])


def _begin_with_city(addresses: Sequence[str]) -> bool:
    """Say whether most addresses have words before the house, and not all those of one house."""
    found = [each["city"] for each in map(_CITY_BEFORE_HOUSE.match, addresses) if each is not None]
    cities = [each for each in found if not says_street(each) and not _HOME.search(each)]
    return len(cities) > HALF * len(addresses) and len(set(cities)) > 1


def _has_numbers(addresses: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Say whether most addresses have a second number, and no two the same house's.

    The flats of a house have its number in common: ``1204 500 Elm St``, ``1305 500 Elm St``.
    """
    found = [each for each in map(pattern.match, addresses) if each is not None]
    houses = {each["house"] for each in found}
    numbers = {each["number"] for each in found}
    is_usual = len(found) > 1 and len(found) > HALF * len(addresses)
    return is_usual and len(houses) == len(numbers) == len(found)


def _check_units(table: _Table) -> None:
    """Doubt long numbers under *Apt* beside a column of ids that is empty."""
    empty = [
        each
        for each in table.columns
        if each.field in _CODES and not table.sample.texts(each.place)
    ]
    for column in table.taken("address2"):
        if empty and share(table.texts(column), _LONG_NUMBER.fullmatch) > HALF:
            raise doubted(column, f"its numbers may be those of {empty[0].header}, which is empty")
        lacks_orders = "external_order_id" not in table.by_field
        if lacks_orders and _are_running(table.texts(column)):
            raise doubted(column, "its numbers may be those of the orders")


def _are_running(texts: Sequence[str]) -> bool:
    """Say whether most cells end with a number that is a little higher than the one before."""
    numbers = [int(each[1]) for each in map(_LONG_HASH.fullmatch, texts) if each is not None]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    is_usual = len(numbers) > HALF * len(texts)
    return is_usual and bool(steps) and all(0 < each <= _LONGEST_STEP for each in steps)


def _check_postal_codes(table: _Table) -> None:
    """Doubt short numbers under *Zip* beside a column of numbers that are as long as ZIP codes."""
    codes = [each for each in table.columns if each.field in _CODES]
    for column in table.taken("postal_code"):
        texts = table.texts(column)
        if share(texts, _SHORT_ZIP.fullmatch) > HALF and any(
            share(table.texts(each), _ZIP.fullmatch) > HALF for each in codes
        ):
            raise doubted(column, "another column's numbers are more like postal codes")


def _check_cities(table: _Table) -> None:
    """Doubt a city's column that has the patients' names in it."""
    for column in table.taken("city", "locality"):
        others = [each for each in table.columns if each.field is None]
        if not any(map(_PLACE.search, table.texts(column))) and any(
            share(table.texts(each), _PLACE.search) > HALF for each in others
        ):
            raise doubted(column, "another column has cities with their postal codes")
    _check_bare_cities(table)


def _check_bare_cities(table: _Table) -> None:
    """Doubt cities that are none, and those that the names' columns rather have."""
    for column in table.taken("city"):
        if fit("city", table.texts(column), is_garbled_fine=True) <= HALF:
            raise doubted(column, "half of its cells are no cities")
        cities, mails = table.rows(column), []
        for each in table.by_field.get("patient_email", ())[:1]:
            mails = [text.casefold() for text in table.rows(each)]
        for field in ("first_name", "last_name", "patient_name"):
            for name in table.by_field.get(field, ()):
                names = table.rows(name)
                if mails and _in_mails(cities, mails) > max(HALF, _in_mails(names, mails)):
                    raise doubted(
                        column, f"the e-mail addresses have its words, and not {name.header}'s"
                    )
                different = len(set(filter(None, names)))
                is_turned = 2 * different <= len(names) and len(set(cities)) == len(cities)
                if len(names) >= _FEWEST_FOR_REPEATS and is_turned and field != "last_name":
                    raise doubted(column, f"its words are all different, and {name.header} repeats")


def _in_mails(names: Sequence[str], mails: Sequence[str]) -> float:
    both = [
        (name.casefold(), mail) for name, mail in zip(names, mails, strict=True) if name and mail
    ]
    found = [any(len(w) > 1 and w in mail for w in name.split()) for name, mail in both]
    return sum(found) / len(found) if len(found) > 1 else 0.0


def doubted(column: Column, why: str) -> DoubtfulColumns:
    """Return the refusal of a file because of one column, and how to overrule it."""
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


_CHECKS: Final = (
    _check_names,
    _check_first_names,
    _check_phones,
    _check_codes,
    _check_moved,
    _check_amounts,
    _check_dates,
    _check_notes,
    _check_address,
    _check_units,
    _check_postal_codes,
    _check_cities,
)
