"""The words of the pages Review and Queue: reasons, rules, states, history."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway_rx_queue.model import Reason
from gateway_rx_queue.pages.fields import FIELDS, Text
from gateway_rx_queue.schema import State


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


class Words(NamedTuple):
    """A reason in a list, and the question that it asks."""

    short: str
    question: str


_WHICH: Final = _("Which product is it?")
_DIRECTIONS: Final = _("Are the directions right?")
REASON_WORDS: Final[Mapping[str, Words]] = {
    "patient_not_found": Words(_("patient unknown"), _("Who is the patient?")),
    "patient_ambiguous": Words(_("several patients fit"), _("Which patient is it?")),
    "demographics_mismatch": Words(_("date of birth"), _("Is the patient's data right?")),
    "prescriber_not_found": Words(_("prescriber unknown"), _("Who wrote it?")),
    "drug_not_found": Words(_("DIN not in the catalog"), _WHICH),
    "din_ambiguous": Words(_("DIN unclear"), _WHICH),
    "din_discontinued": Words(_("no longer sold"), _("Which product instead?")),
    "pin_needs_review": Words(_("pseudo-DIN"), _WHICH),
    "strength_mismatch": Words(_("strength differs"), _("Is the strength right?")),
    "quantity_missing": Words(_("quantity missing"), _("What is the quantity?")),
    "days_supply_implausible": Words(_("days don't fit"), _("How many days is it to last?")),
    "refills_missing": Words(_("refills missing"), _("How many refills?")),
    "sig_missing": Words(_("directions missing"), _("What are the directions?")),
    "illegible_field": Words(_("illegible"), _("What does it say?")),
    "low_confidence": Words(_("hard to read"), _("Is this read right?")),
    "duplicate_rx": Words(_("perhaps a duplicate"), _("Is it to be filled once more?")),
    "early_refill": Words(_("refilled too early"), _("Is it to be filled this early?")),
    "allergy_conflict": Words(_("allergy"), _("Is it safe for this patient?")),
    "controlled_substance": Words(_("controlled drug"), _("May it be filled?")),
    "signature_missing": Words(_("signature missing"), _("Is it signed?")),
    "stale_written_date": Words(_("out of date"), _("Is it still valid?")),
    "attachment_missing": Words(_("page missing"), _("Is everything there?")),
    "rule_failed": Words(_("a check failed"), _("Is all of it right?")),
    "din_name_mismatch": Words(_("DIN and name differ"), _WHICH),
    "veterinary_product": Words(_("veterinary product"), _WHICH),
    "quantity_unit": Words(_("unit doesn't fit"), _("Is the unit right?")),
    "refills_implausible": Words(_("many refills"), _("How many refills?")),
    "high_alert": Words(_("high-alert drug"), _DIRECTIONS),
    "unmapped_instruction": Words(_("a note to read"), _("Did you read this?")),
    "not_yet_valid": Words(_("not valid yet"), _("May it be filled now?")),
    "patient_deceased": Words(_("patient died"), _("Is it the right patient?")),
}
_FIELD_QUESTIONS: Final[Mapping[str, str]] = {
    "medication.sig": _DIRECTIONS,
    "medication.quantity": _("Is the quantity right?"),
    "medication.days_supply": _("Are the days right?"),
    "medication.refills": _("Are the refills right?"),
    "medication.din": _("Is the DIN right?"),
    "medication.drug_text": _("Is the drug read right?"),
    "medication.written_date": _("Is the date right?"),
    "patient.allergies": _("Are the allergies right?"),
}
# The reason gives the sender's confidence; the field's name says more.
_OF_A_FIELD: Final = frozenset({"low_confidence", "illegible_field"})

RULE_WORDS: Final[Mapping[str, str]] = {
    "required_fields": _("Nothing is missing"),
    "instructions": _("No notes to read"),
    "drug_identity": _("DIN in the catalog"),
    "drug_name": _("Name fits the DIN"),
    "strength": _("Strength fits the DIN"),
    "quantity_unit": _("Unit fits the form"),
    "confidence": _("The sender is sure"),
    "demographics": _("Date of birth"),
    "supply": _("Days fit quantity and directions"),
    "refills": _("Refills"),
    "high_alert": _("High-alert drugs"),
    "repeats": _("Same drug twice, too early"),
    "written_date": _("Date of writing"),
    "controlled": _("Controlled drugs"),
    "allergies": _("Allergies"),
}

STATE_WORDS: Final[Mapping[State, tuple[str, str, str]]] = {
    "queued": ("s-wait", "", _("Waiting")),
    "writing": ("s-out", "move", _("Being written")),
    "excepted": ("s-warn", "warn", _("For review")),
    "completed": ("s-done", "ok", _("In the pharmacy system")),
    "resolved": ("s-done", "ok", _("Reviewed, written")),
    "failed": ("s-fail", "bad", _("Failed")),
    "rejected": ("s-off", "", _("Rejected")),
}
"""Glyph, kind of state, word."""

SOURCE_WORDS: Final[Mapping[str, str]] = {
    "fax": _("by fax"),
    "e-rx": _("electronic"),
    "api": _("by the API"),
    "phone": _("by phone"),
    "transfer": _("transferred"),
}

_HAPPENED: Final[Mapping[str, tuple[str, str]]] = {
    "submitted": ("", _("Came in")),
    "rules": ("warn", _("Held up by the rules")),
    "writer": ("warn", _("Sent back by the writer")),
    "leased": ("move", _("Leased, being written")),
    "lease_ended": ("warn", _("The lease ended without an answer")),
    "retry": ("", _("To be tried again later")),
    "retried": ("move", _("To be tried again")),
    "approved": ("ok", _("Approved")),
    "rejected_by_reviewer": ("", _("Rejected")),
    "written": ("ok", _("Written into the pharmacy system")),
    "recalled": ("", _("Taken out")),
    "gave_up_after_retries": ("bad", _("Given up after every attempt failed")),
    "writer_failed": ("bad", _("The writer failed")),
    "writer_gave_no_answer": ("bad", _("The writer gave no answer")),
    "another_din_written": ("warn", _("Another DIN was written than ordered")),
    "written_after_recall": ("warn", _("Written although it was taken out")),
    "invalid_din_reported": ("warn", _("The writer reported a DIN that is none")),
}
_SENT_AGAIN: Final = "sent_again:"
_NO_NAMES: Final[Mapping[str, str]] = {}
_SHORT: Final = 12
"""The shown characters of a key's id, for keys without a name."""

MESSAGES: Final = (
    _("The sender could not decide between these."),
    _("There is no DIN; these products fit the text."),
    _("There is no DIN."),
    _("There is no DIN, and no product in the catalog fits the text."),
    _("The catalog has no product with this DIN."),
    _("A DIN has eight digits."),
    _("An NPN has eight digits."),
    _("The text names a prescription drug, which has a DIN and no NPN."),
    _("A pseudo-DIN is defined by each pharmacy; a person has to match it."),
    _("{a} is a veterinary product."),
    _("{a} is no longer sold."),
    _("The DIN is {a}: the text names another product of the brand."),
    _("The DIN is {a}: the text names {b}."),
    _("The DIN is {a}: the text doesn't name {b}."),
    _("The strength and the text name two strengths."),
    _("The text names another strength than the DIN."),
    _("The unit doesn't fit the form of the product."),
    _("The quantity is missing."),
    _("The quantity must be greater than zero."),
    _("Directions are missing."),
    _("The refills are missing; say 0 where there are none."),
    _("The prescriber is missing."),
    _("The date on which it was written is missing."),
    _("Nothing identifies the patient: an id, a health number, or name and date of birth."),
    _("The prescriber's note has to be read."),
    _("The sender is not sure enough of this field."),
    _("The date of birth is in the future, or too long ago."),
    _("So many refills last for more than two years."),
    _("It must not be filled before this date."),
    _("It was valid until this date only."),
    _("It was written too long ago, or is dated later than today."),
    _("It is to last between 1 and {a} days."),
    _("The directions name another number of days."),
    _("Quantity and directions make more than {a} days."),
    _("Quantity and directions don't make this many days."),
    _("The same drug for the same patient is here already."),
    _("The patient has a drug with the same ingredient already."),
    _("The patient has a drug of the same class ({a}) already."),
    _("The last fill should not be used up yet."),
    _("The drug, or its group, is one that the patient is allergic to."),
    _("A controlled drug needs a pharmacist's review."),
    _("A rule could not judge this."),
    _("Usually {a}; the directions could not be read."),
    _("Usually {a}."),
    _("This element has no field here, and has to be read."),
    _("no allergies were sent; that doesn't mean that there are none"),
    _("no drug catalog is loaded: the DIN is unverified"),
    _("no drug catalog is loaded: the name is not compared with the DIN"),
    _("no drug catalog is loaded: the strength is not compared with the DIN"),
    _("no drug catalog is loaded"),
    _("the text names no strength"),
    _("the date of birth is missing"),
    _("the refills are missing"),
    _("nothing identifies the patient"),
    _("quantity or directions are missing"),
    _("not known as a drug or a group: {a}"),
    _("no drug catalog is loaded: only the same number is found, not another one's ingredients"),
    _("the DIN is not known: only the same number is found, not another one's ingredients"),
    _("no drug catalog is loaded: only the name is compared with the controlled drugs"),
    _(
        "the catalog has no schedule for this drug: only the name is compared with the "
        "controlled drugs"
    ),
    _("the catalog names no strength: the strength is not compared with the DIN"),
    _("the catalog has no such DIN: the name is not compared with the DIN"),
    _("the catalog has no NPNs: the number is unverified"),
    _("the text doesn't name the strength of every ingredient"),
    _("the text names no drug to compare the DIN with"),
    _("neither the text nor the catalog names the drug"),
    _("the form is not known"),
    _("the date on which it was written is missing"),
    _("usually {a}; the directions could not be read"),
    _("directions: {a}"),
)
"""The sentences of the stock rules; ``{a}`` and ``{b}`` are placeholders."""

_SLOT: Final = re.compile(r"\\\{([ab])\\\}")
_PATTERNS: Final = tuple(
    (each, re.compile(_SLOT.sub(r"(?P<\1>.{1,300}?)", re.escape(each)), re.DOTALL))
    for each in MESSAGES
    if "{" in each
)


def said(message: str, text: Text) -> str:
    """Return a rule's sentence in the reader's language, untranslated if no catalog has it."""
    if not message:  # gettext would return the catalog's header
        return ""
    if message not in MESSAGES:
        for template, pattern in _PATTERNS:
            found = pattern.fullmatch(message)
            if found is not None:
                translated = text(template)
                for name, value in found.groupdict().items():
                    translated = translated.replace(f"{{{name}}}", value)
                return translated
    return text(message)


def short_of(reasons: Sequence[Reason], text: Text) -> str:
    """Return the reasons of a prescription in a few words: ``DIN unclear, directions``."""
    words = [_short(each, text) for each in reasons]
    return ", ".join(dict.fromkeys(words))


def _short(reason: Reason, text: Text) -> str:
    field = FIELDS.get(reason.field or "") if reason.code in _OF_A_FIELD else None
    if field is not None:
        return text(field.label).lower()
    return code_words(reason.code, text)


def code_words(code: str, text: Text) -> str:
    """Return a code's words; for another plugin's code, the code as words."""
    known = REASON_WORDS.get(code)
    return code.replace("_", " ") if known is None else text(known.short)


def question_of(reason: Reason, text: Text) -> str:
    """Return the question for a reason."""
    own = _FIELD_QUESTIONS.get(reason.field or "") if reason.code in _OF_A_FIELD else None
    if own is not None:
        return text(own)
    known = REASON_WORDS.get(reason.code)
    return text(_("Is this right?")) if known is None else text(known.question)


def happened(why: str, text: Text) -> tuple[str, str]:
    """Return the state and the words of an entry of the history."""
    if why.startswith(_SENT_AGAIN):
        return "", text(_("Sent again"))
    known = _HAPPENED.get(why)
    return ("", why.replace("_", " ")) if known is None else (known[0], text(known[1]))


def failure(reason: str, text: Text) -> str:
    """Return why a prescription failed; a writer's own text unchanged."""
    known = _HAPPENED.get(reason)
    return reason if known is None else text(known[1])


def name_of(actor: str, own_id: str, text: Text, names: Mapping[str, str] = _NO_NAMES) -> str:
    """Return the actor's name: ``You`` for the reader, a key's name from ``names``."""
    id_, _slash, name = actor.partition("/")
    if id_ == own_id:
        return text(_("You"))
    return names.get(id_) or name or (id_[:_SHORT] + "…" if id_.startswith("key_") else id_)
