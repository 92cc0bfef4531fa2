"""The value of a cell: text, numbers written as text, amounts of money, yes and no. Pure.

A cell that can't be read raises :class:`Unreadable`; no number is ever guessed. A spreadsheet keeps
15 digits of a number and may show fewer: the other digits are lost, so such a cell is refused, not
rounded.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from gateway.plugin import Prescription
from gateway_csv.read.rows import Cell

_EMPTY: Final = frozenset(
    {"", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "n/a", "#n/a", "n.a.", "null", "(null)"}
    | {"none", "nil", "(blank)", "(empty)", "not available", "unknown"}
)
# A person may be called Null or None, but not a dash.
_EMPTY_NAME: Final = frozenset({"", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "n/a", "#n/a"})
_LONGEST_EMPTY: Final = max(map(len, _EMPTY))
_NO_VALUE: Final = re.compile(
    r"#(?:DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|FORMULA!|ERROR!|SPILL!|CALC!)"
)
_EXACT_DIGITS: Final = 15
_WHOLE: Final = re.compile(r"([+-]?\d+)\.0+")
_SCIENTIFIC: Final = re.compile(r"([+-]?\d)(?:[.,](\d+))?[eE]\+?(\d{1,3})")
# The mark by which a spreadsheet program treats a cell as text.
_TEXT_MARK: Final = re.compile("'(?='*[-+=@0-9\uff1d\uff0b\uff0d\uff20])")
_YES: Final = frozenset({"y", "yes", "true", "t", "1", "x", "required", "oui", "\N{CHECK MARK}"})
_NO: Final = frozenset({"n", "no", "false", "f", "0", "not required", "non"})
_PRIORITIES: Final = {
    **dict.fromkeys(("normal", "standard", "regular", "low", "medium"), "routine"),
    **dict.fromkeys(("rush", "high", "asap", "same day", "express", "priority"), "urgent"),
    **dict.fromkeys(("emergency", "critical", "immediate"), "stat"),
}
_CURRENCY: Final = re.compile(r"(?:ca|us|c)?\$|€|£|\b(?:usd|cad|eur)\b", re.IGNORECASE)
_DECIMAL_COMMA: Final = re.compile(r".*\d,\d{1,2}\D*")
_MONEY: Final = re.compile(r"\d+|\d{1,3}(?:[ .,']\d{3})+", re.ASCII)
_CENTS: Final = re.compile(r"\d*", re.ASCII)
_NUMBER_OF_SOMETHING: Final = re.compile(r"0\d{3,}")
_PLAIN_MONEY: Final = re.compile(r"\d{1,9}(?:\.\d{2})?", re.ASCII)
_MONEY_CHARACTERS: Final = 60
_CENT_PLACES: Final = 6
# More don't fit the form in which a process hands rows over; intake refuses far smaller numbers.
_MOST_BITS: Final = 63


class Unreadable(ValueError):
    """A cell has the wrong kind of value; ``expected`` names its kind, ``fix`` the remedy."""

    def __init__(self, expected: str, fix: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.fix = fix


def text_of(cell: Cell, *, is_name: bool = False) -> str | None:
    """Return a cell's text, or ``None`` when it is empty in one of the usual ways."""
    if not isinstance(cell, str):
        return _plain(cell)
    text = cell.strip()
    first = text[:1]
    if first == "'":
        text = _TEXT_MARK.sub("", text, count=1)
    elif first == "#" and _NO_VALUE.fullmatch(text):
        raise Unreadable(
            "a value",
            "the cell's formula has none: open the file in your spreadsheet program, save it, and "
            "import it again",
        )
    if len(text) > _LONGEST_EMPTY:
        return text
    return None if text.casefold() in (_EMPTY_NAME if is_name else _EMPTY) else text


def name_of(cell: Cell) -> str | None:
    """Return the text of a cell with a name: a person may be called Null or None."""
    return text_of(cell, is_name=True)


def _plain(cell: Cell) -> str | None:
    if cell is None or isinstance(cell, bool):
        return None if cell is None else str(cell).lower()
    if isinstance(cell, float):
        return _number_text(cell)
    return cell.isoformat(sep=" ") if isinstance(cell, datetime) else str(cell)


def code_of(cell: Cell) -> str | None:
    """Return a number that is an identifier: of a prescription, a patient, a telephone.

    ``13055551234.0`` loses its ``.0``; ``1.3E+10`` is read only where no digit is missing.
    """
    text = text_of(cell)
    if text is None:
        return None
    if "." not in text and "e" not in text and "E" not in text:
        return text
    whole = _WHOLE.fullmatch(text)
    if whole:
        return whole[1]
    scientific = _SCIENTIFIC.fullmatch(text)
    if scientific is None:
        return text
    first, places, exponent = scientific[1], scientific[2] or "", int(scientific[3])
    # As many digits as the number has: none was lost by rounding.
    if len(places) != exponent or len(places) >= _EXACT_DIGITS:
        raise _shortened()
    return first + places


def _number_text(number: float) -> str:
    if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 - is it a NaN
        raise Unreadable("a number", "correct the cell")
    if not number.is_integer():
        return repr(number)
    if abs(number) >= 10**_EXACT_DIGITS:
        raise _shortened()
    return str(int(number))


def _shortened() -> Unreadable:
    return Unreadable(
        "all digits of the number",
        "the spreadsheet shortened the number: format the column as text, enter it again",
    )


def uses_decimal_comma(cells: Iterable[Cell]) -> bool:
    """Return whether a column of amounts has its cents after a comma."""
    return any(
        isinstance(each, str)
        and "," in each
        and len(each) <= _MONEY_CHARACTERS
        and _DECIMAL_COMMA.fullmatch(each.strip())
        for each in cells
    )


def money_of(cell: Cell, *, decimal_comma: bool) -> Decimal | None:
    """Read an amount: ``$1,250.00``, ``12,50``, ``(5.00)`` for minus five.

    ``decimal_comma`` decides the meaning of ``1.250`` and ``1,250``, which are ambiguous alone.
    """
    if isinstance(cell, bool):
        raise _no_amount()
    if isinstance(cell, int | float):
        return _decimal(repr(round(cell, _CENT_PLACES)))
    text = text_of(cell)
    if text is None:
        return None
    if _NUMBER_OF_SOMETHING.fullmatch(text):
        raise _no_amount()
    if _PLAIN_MONEY.fullmatch(text):
        return Decimal(text)
    if len(text) > _MONEY_CHARACTERS:
        raise _no_amount()
    text = " ".join(_CURRENCY.sub("", text).split())  # the spaces between thousands are many
    negative = text.startswith(("(", "-")) or text.endswith("-")
    digits = text.strip("()-+ ").strip()
    whole, cents = _parted(digits, decimal_comma=decimal_comma)
    if not any(map(str.isdigit, digits)):
        raise _no_amount()
    if not _MONEY.fullmatch(whole) or not _CENTS.fullmatch(cents):
        raise _no_amount()
    amount = _decimal(re.sub(r"\D", "", whole) + (f".{cents}" if cents else ""))
    return -amount if negative else amount


def _parted(digits: str, *, decimal_comma: bool) -> tuple[str, str]:
    """Split dollars from cents at the last separator, if it is a decimal one."""
    place = max(digits.rfind("."), digits.rfind(","))
    if place < 0:
        return digits, ""
    mark, cents = digits[place], digits[place + 1 :]
    others = digits[:place]
    between = {each for each in others if each in ",."}
    if mark in between:  # 1,250,000: it occurs more than once, so it separates thousands
        return digits, ""
    if len(cents) == 3 and not between and mark == ("." if decimal_comma else ","):  # noqa: PLR2004
        return digits, ""
    return others or "0", cents or "0"


def _decimal(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise _no_amount() from None
    if not amount.is_finite():
        raise _no_amount()
    return amount


def _no_amount() -> Unreadable:
    return Unreadable("an amount such as 12.50", "enter dollars and cents, or leave the cell empty")


def yes_or_no(cell: Cell) -> bool | None:
    """Read ``Y``, ``yes``, ``1``, ``x`` and their opposites."""
    if isinstance(cell, bool):
        return cell
    text = text_of(cell)
    if text is None:
        return None
    folded = _WHOLE.sub(r"\1", text).casefold()
    if folded in _YES:
        return True
    if folded in _NO:
        return False
    raise Unreadable("yes or no", "enter yes or no, or leave the cell empty")


def priority_of(cell: Cell) -> str | None:
    """Return a priority in the gateway's words; intake refuses an unknown one."""
    text = text_of(cell)
    if text is None:
        return None
    folded = " ".join(text.casefold().replace("-", " ").split())
    return _PRIORITIES.get(folded, folded)


def metadata_of(cell: Cell) -> dict[str, str] | None:
    """Read a JSON object of texts."""
    text = text_of(cell)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeError):
        raise Unreadable(
            'a JSON object of texts such as {"route": "7"}', "correct it, or leave the cell empty"
        ) from None


def prescriptions_of(cell: Cell) -> tuple[Prescription, ...] | None:
    """Read the prescriptions of a package that was exported: a JSON list."""
    text = text_of(cell)
    if text is None:
        return None
    try:
        found = msgspec.json.decode(text, type=tuple[Prescription, ...])
    except (msgspec.DecodeError, UnicodeError, ArithmeticError):
        raise _not_exported() from None
    if any((each.fill_number or 0).bit_length() > _MOST_BITS for each in found):
        raise _not_exported()
    return found


def _not_exported() -> Unreadable:
    return Unreadable(
        "a JSON list of prescriptions, as an export writes it", "put back what was exported"
    )


def masked(cell: Cell) -> str | None:
    """Return a cell's shape without its content: letters as ``x``, digits as ``9``."""
    if cell is None or cell == "":
        return None
    text = re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", str(cell).strip()))
    text = re.sub(r"[^\x20-\x7e]", "?", text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


_SHOWN: Final = 24
