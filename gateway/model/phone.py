"""Telephone numbers, brought to E.164 (ITU-T E.164; the ``phonenumbers`` library)."""

import re

# North American numbers in E.164 need no parsing: area code and exchange start at 2.
_NORTH_AMERICAN = re.compile(r"\+1[2-9]\d{2}[2-9]\d{6}", re.ASCII)
# So are nearly all that come in North America: 617-555-0123, (617) 555-0123, 1 617 555 0123.
_LOCAL = re.compile(
    r"(?:\+?1[-. ]?)?\(?([2-9]\d{2})\)?[-. ]{0,2}([2-9]\d{2})[-. ]?(\d{4})", re.ASCII
)
_LOCAL_IN = frozenset({"US", "CA"})


def to_e164(text: str, country: str) -> str | None:
    """Return ``text`` as ``+13055551234``, or ``None`` when it can't be a telephone number.

    ``country`` is the ISO 3166 code by which a number without ``+`` is read.
    """
    text = text.strip()
    if _NORTH_AMERICAN.fullmatch(text):
        return text
    if country in _LOCAL_IN and (local := _LOCAL.fullmatch(text)):
        return f"+1{local[1]}{local[2]}{local[3]}"
    import phonenumbers  # with the first number of this kind: 40 ms

    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    # A number that is only possible locally lacks its area code: made E.164, it is another one.
    possible = phonenumbers.is_possible_number_with_reason(number)
    if number.extension or possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
