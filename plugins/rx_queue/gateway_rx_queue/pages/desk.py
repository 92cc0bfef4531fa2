"""A prescription as the desk shows it: its questions, its fields, earlier fills. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from gateway.plugin import Query
from gateway_rx_queue.drafts import Draft
from gateway_rx_queue.evidence import EvidenceOut
from gateway_rx_queue.job import Job
from gateway_rx_queue.model import Drug, Prescription, Reason
from gateway_rx_queue.pages.fields import ALWAYS, FIELDS, PARTS, Field, Text, changed, typed
from gateway_rx_queue.pages.words import question_of, said
from gateway_rx_queue.review import is_impossible

_DIN: Final = "medication.din"
_MOST_KEYS: Final = 9
_TYPED: Final = "f."
_OTHER: Final = "other."
_CHOOSE: Final = frozenset({"din_ambiguous"})
"""Reasons that only a choice answers: no product is named."""


class Option(NamedTuple):
    """A candidate; ``key`` is the digit that chooses it, ``""`` after the ninth."""

    value: str
    name: str
    details: Sequence[str]
    filled_on: date | None
    key: str
    is_chosen: bool


class Input(NamedTuple):
    """A field to edit: the sent value, and the reviewer's."""

    field: Field
    before: str
    value: str

    @property
    def is_changed(self) -> bool:
        """Whether the reviewer corrected it."""
        return self.value.strip() != self.before.strip()

    @property
    def day(self) -> date | None:
        """The day of a field that is a date."""
        return (
            date.fromisoformat(self.before) if self.field.kind == "date" and self.before else None
        )


class Question(NamedTuple):
    """One or more reasons about the same thing, with their possible answers.

    ``is_hard``: only a correction answers it. ``is_new``: the corrections raise it, and its
    ``codes`` are confirmed.
    """

    key: str
    number: int
    question: str
    said: Sequence[str]
    codes: Sequence[str]
    options: Sequence[Option]
    inputs: Sequence[Input]
    is_hard: bool
    is_answered: bool
    is_seen: bool
    is_new: bool = False


class Row(NamedTuple):
    """A line of the prescription.

    ``sure`` is the sender's confidence, 0 to 1. ``is_said``: the sender gave a confidence for some
    fields, so that it is missing for others.
    """

    input: Input
    sure: float | None
    is_low: bool
    is_asked: bool
    is_said: bool


def draft_of(form: Query, prescription: Prescription) -> Draft:
    """Return the typed fields that differ from the sent ones."""
    fields = {
        name.removeprefix(_TYPED): form.get(name)
        for name in form
        if name.startswith(_TYPED) and name.removeprefix(_TYPED) in FIELDS
    }
    for name in form:
        other = form.get(name).strip()
        if name.startswith(_OTHER) and other and name.removeprefix(_OTHER) in FIELDS:
            fields[name.removeprefix(_OTHER)] = other
    return Draft(
        fields=dict(changed(prescription, fields)),
        note=form.get("note").replace("\r\n", "\n").strip()[:2000],
        seen=tuple(dict.fromkeys(form.all("seen")))[:100],
        confirm=tuple(dict.fromkeys(form.all("confirm")))[:50],
    )


def questions_of(
    job: Job, draft: Draft, evidence: EvidenceOut, text: Text, new: Sequence[Reason] = ()
) -> list[Question]:
    """Return the questions of a prescription in the order of its reasons, then the new ones."""
    grouped: dict[str, list[Reason]] = {}
    for reason in job.content.reasons:
        grouped.setdefault(reason.field or reason.code, []).append(reason)
    asking = _Asking(job, draft, evidence, text)
    made = [
        asking.question(number, key, reasons)
        for number, (key, reasons) in enumerate(grouped.items(), 1)
    ]
    for number, reason in enumerate(new, len(made) + 1):
        made.append(
            Question(
                key=reason.code,
                number=number,
                question=question_of(reason, text),
                said=[said(reason.message, text)],
                codes=(reason.code,),
                options=(),
                inputs=(),
                is_hard=False,
                is_answered=reason.code in draft.confirm,
                is_seen=reason.code in draft.confirm,
                is_new=True,
            )
        )
    return made


class _Asking:
    """Makes the questions of one prescription; each digit is used for one candidate."""

    def __init__(self, job: Job, draft: Draft, evidence: EvidenceOut, text: Text) -> None:
        self._prescription = job.content.prescription
        self._draft = draft
        self._evidence = evidence
        self._text = text
        self._keys = iter(range(1, _MOST_KEYS + 1))

    def question(self, number: int, key: str, reasons: Sequence[Reason]) -> Question:
        """Return the question for the reasons about one thing."""
        names = PARTS.get(key, (key,) if key in FIELDS else ())
        inputs = [_input(self._prescription, name, self._draft) for name in names]
        is_hard = any(is_impossible(each) or each.code in _CHOOSE for each in reasons)
        is_seen = key in self._draft.seen and not is_hard
        return Question(
            key=key,
            number=number,
            question=question_of(reasons[0], self._text),
            said=[*dict.fromkeys(map(self._said, reasons))],
            codes=[each.code for each in reasons],
            options=self._options(inputs[0].value) if key == _DIN else [],
            inputs=inputs,
            is_hard=is_hard,
            is_answered=is_seen or any(each.is_changed for each in inputs),
            is_seen=is_seen,
        )

    def _said(self, reason: Reason) -> str:
        drug, text = self._prescription.medication, self._text
        if reason.code == "din_ambiguous" and drug.drug_text and drug.din_candidates:
            sentence = text("The sender read “{read}” and could not decide between {n}.")
            return sentence.format(read=drug.drug_text, n=len(self._evidence.candidates))
        if reason.code == "low_confidence":
            sure, least = reason.evidence.get("confidence"), reason.evidence.get("threshold")
            if isinstance(sure, int | float) and isinstance(least, int | float):
                sentence = text("The sender is {sure} % sure; {least} % are asked for.")
                return sentence.format(sure=round(100 * sure), least=round(100 * least))
        return said(reason.message, text)

    def _options(self, chosen: str) -> list[Option]:
        options = []
        for each in self._evidence.candidates:
            drug = each.drug
            key = next(self._keys, None)
            options.append(
                Option(
                    value=each.value,
                    name=(drug.name if drug else each.label) or each.value,
                    details=_details(drug) if drug else [],
                    filled_on=each.filled_on,
                    key="" if key is None else str(key),
                    is_chosen=each.value == chosen,
                )
            )
        return options


def _details(drug: Drug) -> list[str]:
    """Return a product's strength and form; many names already contain the strength."""
    parts = [drug.strength, drug.form]
    return [each for each in parts if each and each.casefold() not in drug.name.casefold()]


def rows_of(
    job: Job,
    draft: Draft,
    asked: Collection[str],
    least: float,
    parts: Collection[str],
) -> Mapping[str, list[Row]]:
    """Return the lines of the prescription by part: those that have a value, and the usual ones."""
    prescription = job.content.prescription
    rows: dict[str, list[Row]] = {"medication": [], "patient": [], "prescriber": []}
    for name, field in FIELDS.items():
        if field.part not in parts and name != "patient.allergies":
            continue
        found = _input(prescription, name, draft)
        if not (found.before or found.value or name in ALWAYS):
            continue
        sure = prescription.confidence.get(name)
        is_low = sure is not None and sure < least
        is_said = bool(prescription.confidence) and field.part == "medication"
        rows[field.part].append(Row(found, sure, is_low, name in asked, is_said))
    return rows


def _input(prescription: Prescription, name: str, draft: Draft) -> Input:
    before = typed(prescription, name)
    return Input(FIELDS[name], before, draft.fields.get(name, before))


def unanswered(questions: Sequence[Question]) -> list[Question]:
    """Return the questions that have no answer yet."""
    return [each for each in questions if not each.is_answered]


def looked_at(query: str) -> dict[str, Any]:
    """Return zoom and rotation of a fax page: ``2.90`` is twice as large, turned by 90°."""
    zoom, _dot, turn = query.partition(".")
    zooms = ("1", "15", "2", "3")
    shown = zoom if zoom in zooms else "1"
    turned = int(turn) if turn in {"90", "180", "270"} else 0
    place = zooms.index(shown)
    return {
        "zoom": shown,
        "turn": turned,
        "in": f"{zooms[min(place + 1, len(zooms) - 1)]}.{turned}",
        "out": f"{zooms[max(place - 1, 0)]}.{turned}",
        "turned": f"{shown}.{(turned + 90) % 360}",
    }
