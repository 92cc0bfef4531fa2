"""Check digits of identifiers. They warn and never refuse: vendors' own samples fail them. Pure.

British Columbia's personal health number is checked modulo 11 over its digits 2 to 9,
Ontario's health number by Luhn over ten digits
(https://www.ontario.ca/page/health-card-validation-reference-manual), the American NPI by
Luhn with 80840 in front (https://www.cms.gov/files/document/npicheckdigitpdf.pdf).
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.plugin import Problem
from gateway_rx_queue.model import Prescription

_TEN_DIGITS: Final = re.compile(r"[0-9]{10}", re.ASCII)
_BC_WEIGHTS: Final = (2, 4, 8, 5, 10, 9, 7, 3)
_NPI_PREFIX: Final = "80840"


def warnings_of(prescription: Prescription) -> Iterator[Problem]:
    """Yield a remark for each identifier whose check digit is wrong."""
    patient, prescriber = prescription.patient, prescription.prescriber
    number = patient.health_number
    checks = {"ON": _is_ontario, "BC": _is_british_columbia}
    check = checks.get((patient.province or "").upper())
    if number and check is not None and not check(number):
        text = "the check digit doesn't fit; it was kept as it is"
        yield Problem(text, field="patient.health_number")
    is_npi = (prescriber.licence_type or "").upper() == "NPI"
    if is_npi and prescriber.licence_number and not _is_npi(prescriber.licence_number):
        text = "the check digit doesn't fit; it was kept as it is"
        yield Problem(text, field="prescriber.licence_number")


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)  # noqa: PLR2004 - the sum of its two digits
    return total % 10 == 0


def _is_ontario(number: str) -> bool:
    digits = number[:10]  # a version of up to two letters may follow
    return bool(_TEN_DIGITS.fullmatch(digits)) and passes_luhn(digits)


def _is_british_columbia(number: str) -> bool:
    if not _TEN_DIGITS.fullmatch(number) or number[0] != "9":
        return False
    total = sum(
        int(digit) * weight % 11 for digit, weight in zip(number[1:9], _BC_WEIGHTS, strict=True)
    )
    return (11 - total % 11) % 11 == int(number[9])


def _is_npi(number: str) -> bool:
    return bool(_TEN_DIGITS.fullmatch(number)) and passes_luhn(_NPI_PREFIX + number)
