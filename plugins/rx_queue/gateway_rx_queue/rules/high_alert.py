"""High-alert drugs with their usual frequency: data, and the rule that compares. Pure.

The choice follows the ISMP list of high-alert medications in community and ambulatory care
settings (https://www.ismp.org/recommendations/high-alert-medications-community-ambulatory-list)
and ISMP Canada's bulletins on methotrexate
(https://ismpcanada.ca/bulletin/alert-methotrexate-daily-instead-of-weekly/); the intervals are
those of the product monographs in Health Canada's DPD (https://health-products.canada.ca/dpd-bdpp/).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from gateway_rx_queue.drugs.strengths import read_strengths
from gateway_rx_queue.drugs.words import core_words, drug_words, fold, stem
from gateway_rx_queue.extension_points import Finding, RxCase
from gateway_rx_queue.model import Checked, NotChecked, Reason
from gateway_rx_queue.rules.sig import read_sig


class HighAlert(NamedTuple):
    """The usual use of a drug: a maximum of days a week, perhaps at most once a day.

    ``forms`` and ``strengths`` (of mg or units) limit an entry to those; empty means all.
    """

    drug: str
    usual: str
    days_a_week: Decimal = Decimal(7)
    once_a_day: bool = False
    forms: tuple[str, ...] = ()
    strengths: tuple[str, ...] = ()
    must_be_read: bool = True


_WEEKLY: Final = Decimal(1)
_MONTHLY: Final = Decimal("0.25")
HIGH_ALERT: Final = (
    HighAlert("methotrexate", "once a week", _WEEKLY),
    HighAlert("fentanyl", "one patch every 72 hours", Decimal("3.5"), forms=("patch", "timbre")),
    HighAlert("buprenorphine", "one patch a week", _WEEKLY, forms=("patch", "timbre")),
    HighAlert("semaglutide", "once a week", _WEEKLY, forms=("solution", "inject", "pen")),
    HighAlert("dulaglutide", "once a week", _WEEKLY),
    HighAlert("alendronate", "once a week", _WEEKLY, strengths=("70",), must_be_read=False),
    HighAlert("risedronate", "once a week", _WEEKLY, strengths=("35",), must_be_read=False),
    HighAlert("risedronate", "once a month", _MONTHLY, strengths=("150",), must_be_read=False),
    HighAlert("ibandronate", "once a month", _MONTHLY, strengths=("150",), must_be_read=False),
    HighAlert("vitamind", "once a week", _WEEKLY, strengths=("50000",), must_be_read=False),
    HighAlert("digoxin", "once a day", once_a_day=True, must_be_read=False),
    HighAlert("warfarin", "once a day", once_a_day=True, must_be_read=False),
    HighAlert("zopiclone", "once a day at bedtime", once_a_day=True, must_be_read=False),
    HighAlert("zolpidem", "once a day at bedtime", once_a_day=True, must_be_read=False),
)


_BY_STEM: Final = {
    stem(each.drug): tuple(other for other in HIGH_ALERT if other.drug == each.drug)
    for each in HIGH_ALERT
}


def high_alert(case: RxCase) -> Iterator[Finding]:
    """Compare the frequency of a high-alert drug with the usual one."""
    named = _BY_STEM.keys() & _words(case)
    entries = [each for word in sorted(named) for each in _BY_STEM[word] if _is_meant(each, case)]
    if not entries:
        if case.drug is None and not case.prescription.medication.drug_text:
            yield NotChecked("neither the text nor the catalog names the drug")
        else:
            yield Checked("no high-alert drug of the table")
        return
    sig = case.prescription.medication.sig
    reading = read_sig(sig) if sig else None
    for entry in entries:
        if reading is None or not reading.is_whole:
            if entry.must_be_read and sig:
                text = f"Usually {entry.usual}; the directions could not be read."
                yield _reason(entry, text, str(reading))
            else:
                yield NotChecked(f"usually {entry.usual}; the directions could not be read")
        elif reading.days_a_week > entry.days_a_week or (
            entry.once_a_day and reading.times_a_day > 1
        ):
            yield _reason(entry, f"Usually {entry.usual}.", str(reading))
        else:
            yield Checked(f"usually {entry.usual}; {reading}")


def _reason(entry: HighAlert, message: str, read: str) -> Reason:
    return Reason(
        code="high_alert",
        field="medication.sig",
        message=message,
        evidence={"drug": entry.drug, "read": read},
    )


def _words(case: RxCase) -> set[str]:
    words = set(drug_words(case.prescription.medication.drug_text or ""))
    for name in case.drug.ingredients if case.drug else ():
        words |= core_words(name)
    return words


def _is_meant(entry: HighAlert, case: RxCase) -> bool:
    drug, product = case.prescription.medication, case.drug
    if entry.forms:
        shown = (drug.drug_text, drug.form, drug.sig, product.form if product else None)
        text = fold(" ".join(filter(None, shown)))
        if not any(form in text for form in entry.forms):
            return False
    if not entry.strengths:
        return True
    text = " ".join(
        (drug.strength or "", drug.drug_text or "", product.strength if product else "")
    )
    amounts = {each.strength.amount for each in read_strengths(text)}
    return any(Decimal(each) in amounts for each in entry.strengths)
