"""The form of a text: a street, a telephone number, a date, an amount … Pure."""

import re
from typing import Final

_PHONE: Final = re.compile(
    r"(?:\+?1[\s.-]*)?\(?\d{3}\)?[\s.-]+\d{3}[\s.-]+\d{4}(?:\s*(?:x|ext\.?)\s*\d{1,6})?"
    r"|\(\d{3}\)\s?\d{3}[\s.-]?\d{4}|\+\d[\d\s().-]{8,18}\d",
    re.IGNORECASE,
)
EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_DATE: Final = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?:[ T]\d{1,2}:.*)?"
)
_MONEY: Final = re.compile(r"[-(]?(?:ca|us|c)?\$\s*\d[\d.,]*\)?|-?\d{1,6}[.,]\d{2}", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[#]?\d+")
CA_POSTAL: Final = re.compile(r"[a-z]\d[a-z][\s-]?\d[a-z]\d", re.IGNORECASE)
_SHORT_ZIP: Final = re.compile(r"'?\d{3,9}")
US_ZIP: Final = re.compile(r"\d{5}(?:-\d{4})?")
_UNIT: Final = re.compile(
    r"(?:apt|apartment|unit|suite|ste|app|appt|bureau|floor|fl|room|rm|bldg|lot|no)\b\.?\s*#?\s*"
    r"[\w-]{1,6}|#\s*[\w-]{1,6}",
    re.IGNORECASE,
)
_STREET: Final = re.compile(r"\d+[a-z]?(?:[-/]\d+[a-z]?)?[\s,]+(?=.*[^\W\d_]{2})", re.IGNORECASE)
STREET_WORD: Final = re.compile(
    r"\b(?:st|street|ave|avenue|av|rd|road|dr|drive|ln|lane|blvd|boulevard|hwy|highway|ct|court|"
    r"pl|place|way|terrace|ter|cir|circle|pkwy|parkway|sq|square|trail|trl|crescent|cres|row|"
    r"route|rte|rr|rural|rue|chemin|ch|rang|montee|mont\N{LATIN SMALL LETTER E WITH ACUTE}e|"
    r"cote|c\N{LATIN SMALL LETTER O WITH CIRCUMFLEX}te|all\N{LATIN SMALL LETTER E WITH ACUTE}e|"
    r"quai|impasse|box|cp|general delivery|poste restante|estate|cottage|farm|house|manor|"
    r"stra\N{LATIN SMALL LETTER SHARP S}e|strasse|weg|platz|via|calle|plaza)\b\.?",
    re.IGNORECASE,
)
POSTAL_END: Final = re.compile(
    r"(?:[\s,]|^)(?:\d{5}(?:-\d{4})?|[a-z]\d[a-z][\s-]?\d[a-z]\d)"
    r"(?:[\s,]+(?:usa?|canada|ca|united states))?\s*$",
    re.IGNORECASE,
)
_TITLE: Final = re.compile(r"(?:dr|prof|mr|mrs|ms|mme|mlle)\b", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[^\W\d_]{2}")
DIGIT: Final = re.compile(r"\d")
ADDRESS_UNIT: Final = re.compile(
    r"(?<![^\W_])(?:apt|apartment|unit|suite|ste|floor|bldg|room)\b\.?\s*#?\s*\w{1,6}$",
    re.IGNORECASE,
)
_PLACEHOLDERS: Final = (
    "pickup,pick up,pick-up,in store,in-store,instore,counter,will call,willcall,store,same,none,"
    "unknown,tbd,tba,to follow,see notes,see note,no address,address,n a,na,xxx,test,pharmacy,"
    "curbside,hold,delivery,customer pickup,store pickup,walk in,walk-in,ramassage,cueillette,"
    "en magasin,inconnu,aucun,aucune,homeless,mail,call,call patient,not on file,on file,patient,"
    "local pickup,collection,collect,homedelivery,home,yes,no,x"
)
PLACEHOLDER: Final = frozenset(_PLACEHOLDERS.split(","))


def is_phone(text: str) -> bool:
    """Return whether a text has the form of a telephone number."""
    return bool(_PHONE.fullmatch(text))


def has_digit(text: str) -> bool:
    """Return whether a text has a digit in it."""
    return bool(DIGIT.search(text)) if text.isascii() else any(map(str.isdigit, text))


def is_street(text: str) -> bool:
    """Return whether an address has a street, a box or a number besides its postal code."""
    if not _LETTERS.search(text):
        return False
    rest = POSTAL_END.sub("", text)
    if not _LETTERS.search(rest):
        return False
    if has_digit(rest):
        return True
    return bool(STREET_WORD.search(rest)) and not _TITLE.match(rest)


def ends_with_postal_code(text: str) -> bool:
    """Return whether a text is the end of an address: ``Boston, MA 02108``."""
    return bool(POSTAL_END.search(text)) and bool(_LETTERS.search(text))


def is_postal_code(text: str) -> bool:
    """Return whether a text is a postal code of North America, which may lack its leading zeros."""
    return bool(US_ZIP.fullmatch(text) or CA_POSTAL.fullmatch(text) or _SHORT_ZIP.fullmatch(text))


def names_street(text: str) -> bool:
    """Return whether a text has a number and a word such as street, road or rue."""
    return bool(DIGIT.search(text) and STREET_WORD.search(text))


def says_street(text: str) -> bool:
    """Return whether a text has a word of a street or of a flat: ``Highway``, ``Unit A``."""
    return bool(STREET_WORD.search(text) or ADDRESS_UNIT.search(text))


def is_placeholder(text: str) -> bool:
    """Return whether a text is a placeholder for an address: ``PICKUP``, ``same``."""
    return " ".join(text.casefold().strip(" .*-()").split()) in PLACEHOLDER


def looks(text: str) -> str:
    """Return the only thing that a text can be; empty if it may be several."""
    if not has_digit(text):
        return "an e-mail address" if "@" in text and EMAIL.fullmatch(text) else ""
    for pattern, name in _SHAPES:
        if pattern.fullmatch(text):
            return name
    return "a street address" if _STREET.match(text) and is_street(text) else ""


_SHAPES: Final = (
    (_PHONE, "a telephone number"),
    (_DATE, "a date"),
    (EMAIL, "an e-mail address"),
    (_MONEY, "an amount"),
    (CA_POSTAL, "a postal code"),
    (_NUMBER, "a number"),
    (_UNIT, "a unit of an address"),
)


def is_whole_address(text: str) -> bool:
    """Return whether a text is an address from the house number to the postal code."""
    return text[:1].isdigit() and names_street(text) and ends_with_postal_code(text)


def has_capital(text: str) -> bool:
    """Return whether a text has a capital letter, or letters that have no capitals."""
    return text != text.casefold() or text == text.swapcase()
