"""The words that labels put before a value, in English, French and Spanish. Pure.

Matched in folded text: lower case, without accents, letter by letter, so that places stay the
same. Longer words come first: "patient pays" is money, "patient" a name.
"""

import re
import unicodedata
from typing import Final, Literal, NamedTuple

Kind = Literal[
    "rx", "name", "address", "phone", "fax", "money", "filled", "other_date", "count", "din",
    "prescriber",
]  # fmt: skip

_ANCHORS: Final[tuple[tuple[Kind, str], ...]] = (
    (
        "money",
        (
            r"co-?\s?pay(?:ment)?|patient\s*pays?|patient\s*paie|you\s*pay|amount\s*due|balance\s*due"
            r"|total\s*due|total\s*a\s*payer|a\s*payer|montant\s*du|solde|copago|(?:total\s*)?a\s*pagar"
            r"|saldo|pay|due"
        ),
    ),
    (
        "other_date",
        (
            r"discard\s*after|use\s*before|refill\s*before|expir(?:es|y|ation)?(?:\s*date)?|exp"
            r"|written|date\s*of\s*birth|dob|born|date\s*de\s*naissance|nee?\s*le|jeter\s*apres"
            r"|fecha\s*de\s*nacimiento|vence|caduca"
        ),
    ),
    (
        "filled",
        (
            r"date\s*filled|fill\s*date|filled(?:\s*on)?|dispensed(?:\s*on)?|date\s*d.?\s?execution"
            r"|executee?\s*le|servi\s*le|surtido|fecha|date"
        ),
    ),
    (
        "rx",
        (
            r"r\s?x\s*(?:number|num|nbr|no|n°)?|prescription\s*(?:number|no|n°|#)"
            r"|(?:no|n°|numero)\s*d.?\s?ordonnance|ordonnance\s*(?:no|n°)?|ord\.?\s*(?:no|n°)?"
            r"|receta\s*(?:no|n°)?|(?:no|n°)(?=[\s.:#]*\d{5})"
        ),
    ),
    (
        "name",
        (
            r"patient(?:\(e\)|e)?\s*name|nom\s*du\s*patient|patient(?:\(e\)|e)?|deliver\s*to|livrer\s*a"
            r"|ship\s*to|entregar\s*a|paciente|nombre|cliente?|name|nom|(?:for|pour|para)(?=\s*:)"
        ),
    ),
    ("address", r"address|adresse|direccion|addr"),
    ("fax", r"fax|telecopieur"),
    ("phone", r"telephone|telefono|phone|tel|ph|cellulaire|cell|mobile|movil"),
    ("count", r"refills?(?:\s*left)?|repeats?|renouv(?:ellements?)?|rem|qty|quantity|qte|cant"),
    ("din", r"din|npn"),
    ("prescriber", r"prescriber|prescripteur|physician|medecin|medico|doctor|dr[ea]?(?=[\s.])"),
)
_ANCHOR: Final = re.compile(
    "|".join(f"(?P<{kind}>(?<![a-z])(?:{words})(?![a-z]))" for kind, words in _ANCHORS)
)
PHARMACY: Final = re.compile(
    r"pharmac|farmacia|apothecar|drug\s*(?:store|mart)|\bdrugs?\b(?!.*\d\s*mg)|chemist"
)
STREET: Final = re.compile(
    r"\b(?:st|street|ave?|avenue|r(?:oa)?d|blvd|boul|boulevard|dr|drive|ct|court|cres|crescent|ln"
    r"|lane|way|pl|place|pkwy|parkway|hwy|highway|ter|terrace|trail|cir|circle|square|sq"
    r"|rue|chemin|ch|rang|route|montee|cote|calle|avenida|carrera|camino)\b"
)
NUMBERED: Final = re.compile(r"#?\d{1,6}[a-z]?(?:-\d{1,5})?,?\s*[a-z0-9]")
US_CODE: Final = re.compile(r"(?<![a-z])([a-z]{2})[\s,.]*(\d{5}(?:-\d{4})?)(?!\d)")
CA_CODE: Final = re.compile(r"(?<![a-z0-9])([a-z]\d[a-z])\s?(\d[a-z]\d)(?![a-z0-9])")
_NOT_NAMES: Final = """
take tablet tablets tab tabs capsule capsules cap caps mouth daily day days once twice food mg mcg
ml prendre comprime comprimes gelule fois par jour matin soir avec tome tableta tomar cada dia hcl
qty refills refill rx pharmacy pharmacie farmacia drug drugs store mart inc ltd morning evening
night water needed co prescription receipt total amount due pay date number deliver delivery label
keep out reach children warning may cause drowsiness livraison sac patient name address phone
filled signature
"""
NOT_A_NAME: Final = frozenset(_NOT_NAMES.split())
"""Words of directions, drugs and shops: a line with one of them isn't a person's name."""


class Anchor(NamedTuple):
    """A word that announces a value, and its position in the text."""

    kind: Kind
    start: int
    end: int


def folded(text: str) -> str:
    """Return text in lower case and without accents; each letter stays where it is."""
    return "".join(_folded(each) for each in text)


def _folded(letter: str) -> str:
    found = unicodedata.normalize("NFD", letter)[0].lower()
    return found if len(found) == 1 else letter


def anchors(text: str) -> list[Anchor]:
    """Return the anchors in a text, from its start."""
    return [
        Anchor(each.lastgroup, each.start(), each.end())  # type: ignore[arg-type]  # it is a kind
        for each in _ANCHOR.finditer(folded(text))
    ]
