"""Rules of a place for what happens at the door, as data with a check each. Pure.

A completion that breaks one is accepted and left to a person, never refused: the parcel is where
it is. Sources: Ontario, Drug and Pharmacies Regulation Act, O. Reg. 264/16 s.152 as the college
explains it (a delivered Schedule I drug is traceable; the receipt is signed by the patient or an
agent who was named beforehand and isn't the driver; the reason is documented when unsigned; no
standing waiver to leave it). Florida: records are kept for four years from the last filling.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.errors import SettingsError
from gateway.model.account import Site
from gateway.model.order import Order
from gateway.model.package import DeliveryUpdate, Proof

_DAYS_A_YEAR: Final = 365.25
AGENTS: Final = "agents"
"""The order's metadata that names, with semicolons between, who may take the bag."""
_SELF: Final = frozenset({"", "self", "patient", "recipient", "client", "lui-même", "elle-même"})
_DRIVER: Final = frozenset({"driver", "courier", "livreur", "livreuse", "chauffeur"})

NO_SIGNATURE: Final = "It isn't signed, and no reason is recorded."
LEFT: Final = "It was left without a signature; that can't be waived."
DRIVER_SIGNED: Final = "The driver signed; the patient or a named agent has to."
NOT_NAMED: Final = "The signer was not named as an agent beforehand."

Check = Callable[[Order, DeliveryUpdate], Sequence[str]]


@dataclass(frozen=True, slots=True)
class PlaceRules:
    """The rules of a place, which ``[[sites]] rules`` names.

    ``check`` gets the order and the completing report, and returns what was broken, in sentences
    without patient data. ``proof_years`` is how long the place wants proofs kept.
    """

    name: str
    check: Check
    proof_years: int


def _ontario(order: Order, update: DeliveryUpdate) -> Sequence[str]:
    proof = update.proof or Proof()
    signer = _folded(proof.signer_relationship)
    if not _is_signed(proof):
        if proof.left_at:
            return (LEFT,)
        return () if update.notes else (NO_SIGNATURE,)
    if signer in _DRIVER:
        return (DRIVER_SIGNED,)
    name = _folded(proof.signer_name)
    if signer in _SELF and (not name or name == _folded(order.patient_name)):
        return ()
    agents = {_folded(each) for each in order.metadata.get(AGENTS, "").split(";")}
    return () if name and name in agents else (NOT_NAMED,)


def _florida(order: Order, update: DeliveryUpdate) -> Sequence[str]:
    proof = update.proof or Proof()
    if not order.requires_signature or _is_signed(proof):
        return ()
    return () if update.notes or proof.left_at else (NO_SIGNATURE,)


def _is_signed(proof: Proof) -> bool:
    return bool(proof.signature_file or proof.signature_url)


def _folded(text: str | None) -> str:
    return " ".join((text or "").casefold().split())


STOCK: Final[tuple[PlaceRules, ...]] = (
    PlaceRules("ontario", _ontario, proof_years=10),
    PlaceRules("florida", _florida, proof_years=4),
)


class Places:
    """Which rules hold at which site."""

    def __init__(self, sites: Iterable[Site], more: Iterable[PlaceRules] = ()) -> None:
        known = {each.name: each for each in (*STOCK, *more)}
        self._of: dict[tuple[str, str], PlaceRules] = {}
        for site in sites:
            if site.rules is None:
                continue
            if site.rules not in known:
                names = ", ".join(sorted(known))
                raise SettingsError(
                    f"The site {site.code} has rules = {site.rules!r}; there are {names}."
                )
            self._of[site.account_id, site.code] = known[site.rules]

    def broken(
        self, account_id: str, site: str | None, order: Order, update: DeliveryUpdate
    ) -> Sequence[str]:
        """Return what a completion at a site broke; nothing where no rules hold."""
        rules = None if site is None else self._of.get((account_id, site))
        return () if rules is None else rules.check(order, update)

    @property
    def proof_ages(self) -> Mapping[tuple[str, str], timedelta]:
        """How long proofs are kept at least, by account and site; leap days are counted in."""
        return {
            (account, site): timedelta(days=math.ceil(rules.proof_years * _DAYS_A_YEAR))
            for (account, site), rules in self._of.items()
        }

    @property
    def named(self) -> Mapping[tuple[str, str], PlaceRules]:
        """The rules by account and site."""
        return self._of
