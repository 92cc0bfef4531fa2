"""Telephone numbers, brought to E.164 (ITU-T E.164; the ``phonenumbers`` library)."""

import re

import phonenumbers

# North American numbers in E.164 need no parsing: area code and exchange start at 2.
_NORTH_AMERICAN = re.compile(r"\+1[2-9]\d{2}[2-9]\d{6}", re.ASCII)


def to_e164(text: str, country: str) -> str | None:
    """Return ``text`` as ``+13055551234``, or ``None`` when it can't be a telephone number.

    ``country`` is the ISO 3166 code by which a number without ``+`` is read.
    """
    text = text.strip()
    if _NORTH_AMERICAN.fullmatch(text):
        return text
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    # A number that is only possible locally lacks its area code: made E.164, it is another one.
    possible = phonenumbers.is_possible_number_with_reason(number)
    if number.extension or possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
