"""The meaning of a header: its field and its owner.

A header is a core with words for the owner: *Patient* Phone, *Ship-to* City, *Prescriber* Name. A
core is known by its exact words, never by resemblance; a header that only resembles one is
suggested. Which of several columns is taken is decided in :mod:`gateway_csv.columns.recognition`.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

How = Literal["name", "synonym", "chosen", "remembered", "layout"]
Role = Literal["delivery", "patient", "none", "other"]
"""The owner of a column: the delivery, the patient, none named, or another party."""

METADATA: Final = "metadata."
MANY: Final = frozenset({"notes", "patient_phone", "status", "ended_at"})
"""Fields that may have several columns: notes are joined, the first phone number counts."""
FIELDS: Final = (
    "patient_name",
    "last_first",
    "first_name",
    "middle_name",
    "last_name",
    "patient_address",
    "street_number",
    "address2",
    "locality",
    "city",
    "state",
    "postal_code",
    "country",
    "patient_phone",
    "patient_email",
    "rx_number",
    "copay_amount",
    "priority",
    "requires_signature",
    "delivery_date",
    "notes",
    "external_patient_id",
    "external_order_id",
    "metadata",
    "prescriptions",
    "site",
    "status",
    "ended_at",
    "package_id",
)
"""The fields that a column can be chosen as, besides ``metadata.…`` and ``ignore``."""

_CORES: Final[Mapping[str, str]] = {
    "patient_name": "name|nom|full name|complete name|nom complet|nom du patient|nom du client",
    "last_first": (
        "last first|last name first name|name last first|lastname firstname|surname first name|"
        "last comma first|name last comma first|full name last then first|full name last first|"
        "name last then first"
    ),
    "first_name": "first name|firstname|first|given name|fname|forename|prenom|first names",
    "middle_name": "middle name|middle|middle initial|mi|initial",
    "last_name": "last name|lastname|last|surname|family name|lname|nom de famille",
    "patient_address": (
        "address|full address|street address|address 1|address line 1|address line|addr|addr 1|"
        "street|street 1|street name|mailing address|home address|residential address|adress 1|"
        "street address 1|street address line 1|address street|adresse|adresse 1|adresse ligne 1|"
        "rue|civic address|adresse civique|location address|postal address|adr|adr 1"
    ),
    "street_number": (
        "street number|house number|civic number|street no|house no|numero civique|no civique|"
        "building number"
    ),
    "address2": (
        "address 2|address line 2|addr 2|street 2|apt|suite|apartment|apartment number|unit number|"
        "apt number|apt unit|apt no|unit no|ste|apt suite|apartment suite|street address 2|"
        "street address line 2|adresse 2|adresse ligne 2|appartement|app|adr 2|address line 2 apt|"
        "apt unit number|suite number|flat"
    ),
    "locality": (
        "city state zip|city st zip|city state|city state zip code|city state postal code|"
        "city province postal code|city prov postal code|city prov postal|city province|"
        "ville province code postal|city state and zip|csz|city st|city state zipcode"
    ),
    "city": "city|town|municipality|ville|city town|town city|suburb|locality|municipalite",
    "state": (
        "state|province|prov|state province|prov state|province state|province code|state code|"
        "st prov|state region|region"
    ),
    "postal_code": (
        "zip|zip code|zipcode|postal code|postal|postcode|post code|zip postal code|zip postal|"
        "postalcode|code postal|postal zip|postal code zip|zip 5|postal zip code|zip code 5"
    ),
    "country": "country|country code|pays|country region",
    "patient_phone": (
        "phone|phone number|telephone|telephone number|tel|tel number|cell|cell phone|cell number|"
        "mobile|mobile phone|mobile number|home phone|phone 1|phone 2|contact number|phone no|"
        "contact phone|ph|daytime phone|primary phone|work phone|day phone|evening phone|tel no|"
        "numero de telephone|no de telephone|cellulaire|phone home|phone cell|phone mobile|"
        "cell no|mobile no|telephone no|primary phone number|cell phone number|home phone number|"
        "ph number|telephone 1|telephone 2|phone num|phone primary|contact no|tel 1|tel 2"
    ),
    "patient_email": "email|e mail|email address|e mail address|courriel|mail address",
    "rx_number": (
        "rx|rx number|rx no|rxnumber|rxno|script|script number|script no|prescription|rx num|"
        "prescription number|prescription no|rx id|rx numbers|ordonnance|numero dordonnance|"
        "no dordonnance|no ordonnance|no rx|numero rx|numero ordonnance|rxs|scripts|"
        "prescription numbers|prescription num|script num|rx n|numero de rx|rx nbr|rxnum|rx nos"
    ),
    "copay_amount": (
        "pat pays|pat pay|"
        "copay|co pay|copayment|co payment|copay amount|co pay amount|patient pay|pt pay|"
        "patient pays|amount due|balance due|cod|amount to collect|to collect|cash on delivery|"
        "patient pay amount|patient owes|copay due|owing|amount owing|pays|pay amount|owes|"
        "collect amount|cod amount|collect|total copay|copay total|a percevoir|montant a percevoir|"
        "copay balance|pay|pt pay amount|patient amount due|payment to collect|collect on delivery"
    ),
    "priority": "priority|urgency|delivery priority|service level|priorite",
    "requires_signature": (
        "requires signature|signature|signature required|sig required|sign|signature needed|"
        "needs signature|requires sig|sig req|signature req|must sign|signature requise|"
        "signature reqd|sig needed|require signature|signature req d"
    ),
    "delivery_date": (
        "delivery date|deliver on|deliver by|delivery day|date of delivery|scheduled date|"
        "delivery dt|scheduled delivery|scheduled delivery date|requested delivery date|"
        "deliver date|date de livraison|expected delivery date|deliver on date|date livraison|"
        "delivery date requested|planned delivery date|due date delivery"
    ),
    "notes": (
        "notes|note|comment|comments|remarks|delivery instructions|delivery notes|"
        "special instructions|delivery note|driver notes|memo|delivery comments|commentaire|"
        "commentaires|remarque|remarques|driver instructions|delivery comment|notes de livraison|"
        "instructions de livraison|notes to driver|note to driver|driver note|customer notes|"
        "special delivery instructions|delivery remarks|additional notes"
    ),
    "external_patient_id": (
        "external patient id|patient id|patient number|patient no|mrn|pt id|customer id|client id|"
        "patient code|external patient|patientid|patient num|pt number|pt no|chart number|"
        "customer number|client number|patient identifier|id patient|no patient|numero patient"
    ),
    "external_order_id": (
        "external order id|order id|order number|order no|order ref|order reference|orderid|"
        "order num|no commande|numero de commande|commande number|ordernumber|"
        "ref number|reference number|transaction id|delivery id|invoice number|invoice no|"
        "reference no|tracking number|delivery number|delivery no|job id|task id|stop id"
    ),
    "metadata": "metadata",
    "site": "site|site code|store code|branch code|pharmacy code",
    "status": (
        "status|delivery status|order status|fulfillment status|fulfilment status|state of order|"
        "financial status|payment status|statut|statut de livraison|shipment status|task status|"
        "job status|stop status|etat|etat de livraison|delivery state|rx status|fill status|"
        "current status|status code|package status|shipping status"
    ),
    "ended_at": (
        "delivered|completed|cancelled|canceled|fulfilled|is delivered|is completed|is cancelled|"
        "delivery completed|delivery done|order cancelled|"
        "cancelled at|canceled at|delivered at|completed at|refunded at|delivered on|cancelled on|"
        "delivered date|date delivered|completion time|completed on|date completed|picked up at|"
        "delivery completed at|livre le|annule le|cancelled date|date cancelled|returned at|"
        "fulfilled at|actual delivery date|actual delivery time|delivered time|time delivered"
    ),
    "package_id": "package id|gateway package id",
}
_FIRST_CHOICES: Final = frozenset(
    {"external order id", "order id", "order number", "order no", "orderid", "order num"}
    | {"external patient id", "patient id", "patient number", "patient no", "patientid"}
)
"""Ids that come before another id beside them: an invoice, a delivery's own number."""

_ROLES: Final[Mapping[Role, str]] = {
    "delivery": (
        "ship to|shipto|shipping|deliver to|delivery to|delivery|dropoff|drop off|destination|"
        "recipient|recipients|consignee|receiver|addressee|destinataire|livraison|de livraison|"
        "dest|deliverto|to address|deliver"
    ),
    "patient": (
        "patient|patients|pt|pat|customer|customers|client|clients|member|cust|resident|du patient|"
        "du client"
    ),
    "other": (
        "pharmacy|pharmacies|pharmacie|store|prescriber|prescribers|doctor|doctors|dr|physician|"
        "provider|md|practitioner|clinician|prescripteur|medecin|driver|drivers|courier|livreur|"
        "chauffeur|carrier|bill to|billto|billing|billed|bill|invoice to|facturation|sender|"
        "ship from|shipfrom|from|pickup|pick up|shipper|expediteur|insurance|insurer|payer|payor|"
        "plan|employer|emergency|emergency contact|next of kin|caregiver|guardian|agent|warehouse|"
        "depot|vendor|supplier|merchant|shop|company|origin|return|return to|user|technician|"
        "tech|pharmacist|staff|employee|dispatcher|drug|item|product|medication|sku|lineitem|"
        "line item|clinic|hospital|nurse|spouse|parent|owner|created by|assigned to|entered by|"
        "facility|contact person|contact|alternate|alternative|alt|secondary|office|branch|"
        "referring|account|acct|group|insured|subscriber|responsible party|worker|rider|route"
    ),
}
_STOP_WORDS: Final = frozenset(
    {"s", "primary", "main", "de", "du", "la", "le", "of", "the", "for", "a", "to"}
)
_NEVER_A_PATIENTS: Final = frozenset(
    {"site", "metadata", "prescriptions", "package_id", "priority"}
)
_THINGS: Final = frozenset(
    {"drug", "item", "product", "medication", "sku", "lineitem", "line item", "plan", "route"}
    | {"group", "account", "acct", "pickup", "pick up", "return", "origin", "bill", "from"}
)
"""Words for things without an address and a telephone."""
_DRIVER: Final = frozenset(
    {"driver", "drivers", "courier", "livreur", "chauffeur", "worker", "rider", "carrier"}
)
# Words that alone name a person; "Ship to" alone may be an address or a name.
_PERSONS: Final = frozenset(
    {"patient", "patients", "pt", "customer", "client", "member", "recipient", "consignee"}
    | {"addressee", "destinataire", "receiver", "resident", "cust", "deliver to"}
)

_FEWEST_LETTERS: Final = 4
_ALIKE_PERCENT: Final = 82.0
_FEWEST_CORE_LETTERS: Final = 3
_LONGEST: Final = 80
_MOST_WORDS: Final = 8
_NUMBERED: Final = re.compile(r" ?\d$")
_WORDS: Final = re.compile(r"[^\w]+|_+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Z])")
_BRACKETS: Final = re.compile(r"[(\[].*?[)\]]")
_QUANTITIES: Final = frozenset(
    {"qty", "quantity", "qty dispensed", "quantity dispensed", "disp qty", "days supply", "days"}
    | {"day supply", "ds", "refills", "refills left"}
)
_METADATA_NAME: Final = re.compile(r"metadata\.(.{1,100})", re.IGNORECASE)
_WORDLESS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
# "Sig" is Latin for the directions for use; a signature column says more than that.
_NOT_A_SIGNATURE: Final = "sig"


class Meaning(NamedTuple):
    """The meaning of a header: a field, its owner, and the exactness of its name.

    ``rank`` orders columns of one field that have the same role: a first choice beats another.
    ``is_driver`` is true for a driver, not for the others with an address of their own.
    """

    field: str
    role: Role
    how: How = "synonym"
    rank: int = 0
    is_driver: bool = False


def normal(header: str) -> str:
    """Fold a header: case, accents, width, punctuation, ``#`` for number."""
    parts = unicodedata.normalize("NFKD", header.casefold())
    plain = "".join(each for each in parts if not unicodedata.combining(each))
    text = plain.replace("#", " number ")
    text = text.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    return _WORDS.sub(" ", text).strip()


def plain(header: object) -> str:
    """Return a header on one line, as it is shown."""
    return _WORDLESS.sub(" ", "" if header is None else str(header)).strip()[:_LONGEST]


def _table() -> dict[str, tuple[str, int]]:
    names: dict[str, tuple[str, int]] = {}
    for field, cores in _CORES.items():
        for core in (normal(field), *cores.split("|")):
            names.setdefault(core, (field, int(core in _FIRST_CHOICES)))
    return names


_NAMES: Final[Mapping[str, tuple[str, int]]] = _table()
_ROLE_OF: Final[Mapping[str, Role]] = {
    word: role for role, words in _ROLES.items() for word in words.split("|")
}
HEADER_WORDS: Final = frozenset(each.rpartition(" ")[2] for each in (*_NAMES, *_ROLE_OF))
"""The last words of all headers that are known."""
_LONGEST_ROLE: Final = max(len(each.split(" ")) for each in _ROLE_OF)


@lru_cache(maxsize=2000)
def meaning_of(header: str) -> Meaning | None:
    """Return what a header means, or ``None`` for one that isn't known."""
    metadata = _METADATA_NAME.fullmatch(header.strip())
    if metadata:
        return Meaning(METADATA + metadata[1], "none", "name")
    # "Copay ($)", "Phone (home)": text in brackets is an explanation.
    for text in (header, _BRACKETS.sub(" ", header)):
        for name in dict.fromkeys((normal(text), normal(_CAMEL.sub(" ", text)))):
            found = _meaning(name) or _meaning(_parted(name))
            if found is not None:
                return found
    return None


def _parted(name: str) -> str:
    """Split a header of one word into two: ``patientname``, ``doctorphone``."""
    for place in range(len(name) - _FEWEST_CORE_LETTERS, 1, -1):
        if name[:place] in _ROLE_OF and name[place:] in _NAMES:
            return f"{name[:place]} {name[place:]}"
    return ""


def _meaning(name: str) -> Meaning | None:
    if name in _NAMES:
        field, rank = _NAMES[name]
        how: How = "name" if name == normal(field) and field in FIELDS else "synonym"
        role: Role = "none"
        words = name.split(" ")
        if field in {"patient_name", "patient_address"} or how == "synonym":
            role = next((_ROLE_OF[each] for each in words if each in _ROLE_OF), "none")
        return Meaning(field, "none" if role == "other" else role, how, rank)
    roles, rest, is_driver = _without_roles(name.split(" "))
    if not roles:
        plain_name = _NUMBERED.sub("", name)  # "Notes 2", "Phone 3"
        field, rank = _NAMES.get(plain_name, ("", 0)) if plain_name != name else ("", 0)
        return Meaning(field, "none", "synonym", rank) if field in MANY else None
    role = "other" if "other" in roles else "delivery" if "delivery" in roles else "patient"
    if not rest:
        return _whole_role(name, role, is_driver=is_driver)
    field, rank = _core(rest)
    if not field:
        return Meaning("", "other", "synonym", 0, is_driver) if role == "other" else None
    if field in _NEVER_A_PATIENTS and role == "patient":
        return None
    return Meaning(field, role, "synonym", rank, is_driver)


def _whole_role(name: str, role: Role, *, is_driver: bool) -> Meaning | None:
    """Read a header that only names the owner: the name of a person, or of a thing."""
    if role != "other" and name not in _PERSONS:
        return None
    return Meaning("" if name in _THINGS else "patient_name", role, "synonym", 0, is_driver)


def _core(words: list[str]) -> tuple[str, int]:
    """Return the field and rank of a core's words; an empty one for none."""
    found = _NAMES.get(" ".join(words))
    if found is None:
        found = _NAMES.get(" ".join(each for each in words if each not in _STOP_WORDS))
    return found or ("", 0)


def _without_roles(words: list[str]) -> tuple[set[Role], list[str], bool]:
    roles: set[Role] = set()
    rest: list[str] = []
    is_driver = False
    place = 0
    while place < len(words):
        for length in range(min(_LONGEST_ROLE, len(words) - place), 0, -1):
            phrase = " ".join(words[place : place + length])
            if phrase in _ROLE_OF:
                roles.add(_ROLE_OF[phrase])
                is_driver = is_driver or phrase in _DRIVER
                place += length
                break
        else:
            rest.append(words[place])
            place += 1
    return roles, rest, is_driver


def words_of_others(header: str) -> frozenset[str]:
    """Return the words of a header that name another party: ``Billing``, ``Pharmacy``."""
    words = normal(_CAMEL.sub(" ", header)).split(" ")
    return frozenset(each for each in words if _ROLE_OF.get(each) == "other")


def is_quantity(header: str) -> bool:
    """Return whether a header names a number of pieces or of days: ``Qty``, ``Days Supply``."""
    return normal(header) in _QUANTITIES


def role_of_group(cell: object) -> Role | None:
    """Return the owner of the columns below a cell above the header, as in ``Prescriber``."""
    if not isinstance(cell, str) or not cell.strip() or len(cell) > _LONGEST:
        return None
    roles, rest, _ = _without_roles(normal(cell).split(" "))
    left = [each for each in rest if each not in _STOP_WORDS | {"information", "info", "details"}]
    if left or not roles:
        return None
    return "other" if "other" in roles else "delivery" if "delivery" in roles else "patient"


def known_headers(cells: Sequence[object], chosen: Mapping[str, str]) -> int:
    """Count the different fields that a row's cells name; ``chosen`` by normal name."""
    found: set[tuple[str, bool]] = set()
    for each in cells:
        if not isinstance(each, str) or not each or len(each) > _LONGEST:
            continue
        if not chosen and each.isascii() and each.upper() == each.lower() and "#" not in each:
            continue  # a number, a date or a telephone number: "#" alone means number
        if chosen and normal(each) in chosen:
            found.add((chosen[normal(each)] or each, False))
        elif (meaning := meaning_of(each)) is not None and meaning.field:
            found.add((meaning.field, meaning.role == "other"))
    return len(found)


def merged_fields(header: str) -> set[str]:
    """Return the fields of a header that names several, one after the other: ``Zip Rx Number``."""
    found = _fields_in(normal(header).split(" ")[:_MOST_WORDS])
    return set(found) if len(found) > 1 else set()


def _fields_in(words: list[str]) -> list[str]:
    """Return the fields that words name one after the other; none if some words name no field."""
    whole = _meaning(" ".join(words)) if words else None
    if whole is not None and whole.field:
        return [whole.field]
    for place in range(len(words) - 1, 0, -1):
        first = _meaning(" ".join(words[:place]))
        rest = _fields_in(words[place:]) if first is not None and first.field else []
        if first is not None and rest:
            return [first.field, *rest]
    return []


def looks_like(header: str) -> str | None:
    """Return the field whose name a header resembles, if any does."""
    name = normal(header)
    if len(name) < _FEWEST_LETTERS or name == _NOT_A_SIGNATURE:
        return None
    roles, rest, _ = _without_roles(name.split(" "))
    if "other" in roles:
        return None
    core = " ".join(rest) if roles and rest else name
    from rapidfuzz import fuzz, process  # 3 MB that a server needs with its first spreadsheet

    for text in dict.fromkeys((name, core)):
        if len(text) < _FEWEST_LETTERS:
            continue
        found = process.extractOne(
            text, _NAMES.keys(), scorer=fuzz.ratio, score_cutoff=_ALIKE_PERCENT
        )
        # "Delivery window" resembles "delivery number" only by the word for the owner.
        if found is not None and (
            not roles
            or fuzz.ratio(core, " ".join(_without_roles(found[0].split(" "))[1])) >= _ALIKE_PERCENT
        ):
            return _NAMES[found[0]][0]
    return None
