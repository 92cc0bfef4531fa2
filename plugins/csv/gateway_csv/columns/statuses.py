"""Rows that need no delivery: delivered, cancelled, refunded, on their way. Pure."""

import re
from typing import Final

from gateway_csv.columns.headers import normal

_ENDED_WORDS: Final = (
    "delivered|completed|complete|done|cancelled|canceled|annule|annulee|livre|livree|refunded|"
    "partially refunded|partially refund|partial refund|rembourse|remboursee|voided|void|"
    "fulfilled|returned|failed|picked up|pickedup|closed|archived|shipped|in transit|"
    "out for delivery|en route|attempted|arrived|assigned|returning|return to sender|rejected|"
    "declined|success|successful|succeeded|deleted|on hold|hold|trash|expired|echec|retourne|"
    "retournee|returned to stock|rts|out of stock|undeliverable|dispatched|started|no answer|"
    "terminee|termine|on the way|with driver|reversed|transferred|sold|ramasse|pick up complete|"
    "partially fulfilled|partial|restocked|duplicate|inactive|discontinued|delivery attempted|"
    "driver assigned|collected|handed over|exhausted"
)
_ENDED: Final = re.compile(rf"(?:{_ENDED_WORDS})(?: .*)?")
_SUBJECT: Final = re.compile(
    r"(?:delivery|order|package|parcel|task|status|stop|job|rx|prescription|wc|livraison|commande)"
    r" (?:was |is |has been |est |)"
)
_NOTHING: Final = frozenset(
    {"", "no", "n", "false", "f", "n a", "none", "null", "non", "never", "not yet", "pending"}
)


def is_ended(status: str) -> bool:
    """Return whether a status means that a row needs no package.

    An unknown status has no effect: ``Ready``, ``Pending``, ``Not delivered``.
    """
    name = normal(status)
    return bool(_ENDED.fullmatch(name) or _ENDED.fullmatch(_SUBJECT.sub("", name, count=1)))


def is_said(text: str) -> bool:
    """Return whether a column such as *Cancelled at* or *Delivered* has a value that means yes."""
    return bool(text.strip("0., -")) and normal(text) not in _NOTHING
