"""Which column is which field: the names that turn up in the wild, and what may be meant.

A column is taken by its exact name, by a known synonym, or because somebody told us.
A name that only looks like one of these is never taken by itself: it is suggested.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from rapidfuzz import fuzz, process

How = Literal["name", "synonym", "told", "remembered"]

_PATIENT: Final = ("patient", "pt", "customer", "client", "recipient", "member")
# A word that may well mean something else is none: "Order" may be the order of the stops, "Unit"
# that of a drug, "Instructions" the directions for use, which a driver must not see.
SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "patient_name": (
        *("name", "full name", "patient full name", "patient", "recipient", "recipient name"),
        *("customer", "customer name", "client name", "pt name", "pt"),
        *("ship to name", "delivery name", "patients name", "member name"),
        *("nom complet", "nom du patient", "nom du client", "destinataire"),
    ),
    "last_first": (
        *("last first", "last name first name", "patient last first", "name last first"),
        *("patient name last first", "lastname firstname", "surname first name"),
    ),
    "first_name": ("first name", "firstname", "first", "given name", "fname", "forename", "prenom"),
    "middle_name": ("middle name", "middle", "middle initial", "mi"),
    # "Nom" is the whole name in one file, and the last one beside "Prénom": it is asked about.
    "last_name": (
        *("last name", "lastname", "last", "surname", "family name", "lname", "nom de famille"),
    ),
    "patient_address": (
        *("address", "full address", "delivery address", "shipping address", "street address"),
        *("address1", "address 1", "address line 1", "addr", "addr1", "addr 1", "street"),
        *("street 1", "street1", "ship to address", "home address"),
        *("patient street", "mailing address", "deliver to address"),
        *("adresse", "adresse de livraison", "adresse du patient"),
    ),
    "address2": (
        *("address2", "address 2", "address line 2", "addr2", "addr 2", "street 2", "street2"),
        *("apt", "suite", "apartment", "unit number", "apt number", "apt unit"),
    ),
    "city": ("city", "town", "municipality", "delivery city", "shipping city", "ville"),
    "state": ("state", "province", "prov", "state province", "prov state"),
    "postal_code": (
        *("zip", "zip code", "zipcode", "postal code", "postal", "postcode", "post code"),
        *("zip postal code", "zip postal", "postalcode", "code postal"),
    ),
    "country": ("country", "country code"),
    "patient_phone": (
        *("phone", "phone number", "telephone", "telephone number", "tel", "tel number", "cell"),
        *("cell phone", "cell number", "mobile", "mobile phone", "mobile number", "home phone"),
        *("phone 1", "phone1", "phone 2", "phone2", "contact number", "contact phone", "ph"),
        *("daytime phone", "primary phone", "delivery phone", "work phone"),
        *("numero de telephone", "no de telephone", "cellulaire"),
    ),
    "patient_email": ("email", "e mail", "email address", "e mail address", "courriel"),
    "rx_number": (
        *("rx", "rx number", "rx no", "rxnumber", "rxno", "script", "script number", "script no"),
        *("prescription", "prescription number", "prescription no", "rx id", "rx numbers"),
        *("ordonnance", "numero dordonnance", "no dordonnance", "no ordonnance"),
    ),
    "copay_amount": (
        *("copay", "co pay", "copayment", "co payment", "copay amount", "co pay amount"),
        *("patient pay", "pt pay", "patient pays", "amount due", "balance due", "cod"),
        *("amount to collect", "to collect", "cash on delivery", "patient pay amount"),
        *("patient owes", "copay due"),
    ),
    "priority": ("urgency", "delivery priority", "service level"),
    "requires_signature": (
        *("signature", "signature required", "sig required", "sign", "signature needed"),
        *("needs signature", "requires sig", "sig req", "signature req", "must sign"),
        *("signature requise",),
    ),
    "delivery_date": (
        *("deliver on", "deliver by", "delivery day", "date of delivery", "scheduled date"),
        *("delivery dt", "scheduled delivery", "scheduled delivery date"),
        *("requested delivery date", "deliver date", "date de livraison"),
    ),
    "notes": (
        *("note", "comment", "comments", "remarks", "delivery instructions"),
        *("delivery notes", "special instructions", "delivery note", "driver notes", "memo"),
        *("delivery comments", "commentaire", "commentaires", "remarque", "remarques"),
    ),
    "external_patient_id": (
        *("patient id", "patient number", "patient no", "mrn", "pt id", "customer id"),
        *("client id", "patient code", "external patient", "patientid"),
    ),
    "external_order_id": (
        *("order id", "order number", "order no", "order ref", "order reference"),
        *("ref number", "reference number", "transaction id", "orderid"),
        *("delivery id", "invoice number"),
    ),
    "metadata": (),
    "site": ("site code", "store code", "branch code", "pharmacy code"),
}
METADATA: Final = "metadata."
MANY: Final = frozenset({"notes", "patient_phone"})
"""Fields that may well have several columns: notes are joined, the first phone counts."""

_FEWEST_LETTERS: Final = 4
_ALIKE_PERCENT: Final = 82.0
_LONGEST: Final = 80
_WORDS: Final = re.compile(r"[^\w]+|_+")
_METADATA_NAME: Final = re.compile(r"metadata\.(.{1,100})", re.IGNORECASE)
# "Sig" is Latin for the directions for use; a signature column says more than that.
_NOT_A_SIGNATURE: Final = "sig"


class Column(NamedTuple):
    """One column: its place from 0, its header as it stands, the field it is, and why."""

    place: int
    header: str
    field: str | None = None
    how: How | None = None
    looks_like: str | None = None


def normal(header: str) -> str:
    """Fold what makes no difference: case, accents, width, punctuation, ``#`` for number."""
    parts = unicodedata.normalize("NFKD", header.casefold())
    plain = "".join(each for each in parts if not unicodedata.combining(each))
    text = plain.replace("#", " number ")
    text = text.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    return _WORDS.sub(" ", text).strip()


def _known() -> dict[str, str]:
    names = {normal(field): field for field in SYNONYMS if field != "last_first"}
    for field, others in SYNONYMS.items():
        for each in others:
            names.setdefault(each, field)
            if each.split(" ", 1)[0] not in _PATIENT and field not in {"country", "site"}:
                for who in ("patient", "pt", "customer", "recipient"):
                    names.setdefault(f"{who} {each}", field)
    return names


_NAMES: Final = _known()


def field_of(header: str, told: Mapping[str, str]) -> tuple[str | None, How | None]:
    """Return the field that a header names, and how we know; ``told`` is by normal name."""
    whole = normal(header)
    if whole in told:
        return told[whole] or None, "told"
    metadata = _METADATA_NAME.fullmatch(header.strip())
    if metadata:
        return METADATA + metadata[1], "name"
    # "Copay ($)", "Phone (home)": what stands in brackets only explains.
    for name in (whole, normal(re.sub(r"[(\[].*?[)\]]", " ", header))):
        if name in _NAMES:
            field = _NAMES[name]
            return field, "name" if name == normal(field) else "synonym"
    return None, None


def known_headers(cells: Sequence[object], told: Mapping[str, str]) -> int:
    """Count the different fields that a row's cells are the names of."""
    found = {
        field_of(each, told)[0] for each in cells if isinstance(each, str) and len(each) <= _LONGEST
    }
    return len(found - {None})


def looks_like(header: str) -> str | None:
    """Return the field whose name or synonym a header resembles, if any does."""
    name = normal(header)
    if len(name) < _FEWEST_LETTERS or name == _NOT_A_SIGNATURE:
        return None
    found = process.extractOne(name, _NAMES.keys(), scorer=fuzz.ratio, score_cutoff=_ALIKE_PERCENT)
    return None if found is None else _NAMES[found[0]]


def columns_of(
    headers: Sequence[object], told: Mapping[str, str], remembered: Mapping[str, str]
) -> list[Column]:
    """Say of each column which field it is. Where two claim one field, the first has it."""
    taken: set[str] = set()
    columns: list[Column] = []
    for index, cell in enumerate(headers):
        header = _WORDLESS.sub(" ", "" if cell is None else str(cell)).strip()[:_LONGEST]
        field, how = field_of(header, {**remembered, **told})
        if how == "told" and normal(header) not in told:
            how = "remembered"
        if field is not None and field in taken and field not in MANY:
            field, how = None, None
        elif field is not None:
            taken.add(field)
        hint = looks_like(header) if field is None and header and how is None else None
        columns.append(Column(index, header, field, how, None if hint in taken else hint))
    return columns


_WORDLESS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
