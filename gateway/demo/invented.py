"""Invented patients, drugs and orders. The people don't exist, the numbers aren't in use."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_PEOPLE: Final = (
    "Maria Rodriguez", "Walter Nowak", "Aiko Tanaka", "Josephine Clarke", "Rosa Delgado",
    "Émile Gagnon", "Farida Haidari", "George Papadakis", "Ingrid Solberg", "Samuel Mensah",
    "Beatrice Wong", "Oleksandr Kovalenko", "Dorothy Whitfield", "Ravi Subramaniam",
    "Lucille Fontaine", "Hassan Barre", "Nadia Petrova", "Thomas Redbird", "Carmen Ibáñez",
    "Eun-ji Park", "Patrick Omalley", "Adaeze Obi", "Helga Brandt", "Miguel Santos",
    "Yvonne Thériault", "Arjun Mehta", "Constance Bell", "Leila Farahani", "Viktor Horvath",
    "Grace Adeyemi", "Bruno Moretti", "Shirley Lam", "Abel Girma", "Marguerite Roy",
    "Dimitri Sokolov", "Teresa Villanueva", "Harold Finch", "Zainab Yusuf", "Olive Marchand",
    "Kenji Watanabe",
)  # fmt: skip
_STREETS: Final = (
    "Lakeshore Blvd W", "Queen St E", "Dundas St W", "Roncesvalles Ave", "Broadview Ave",
    "Bloor St W", "Danforth Ave", "Gerrard St E", "Parliament St", "Ossington Ave",
)  # fmt: skip
_DRUGS: Final = (
    "atorvastatin 20 mg", "metformin 500 mg", "ramipril 10 mg", "levothyroxine 75 mcg",
    "amlodipine 5 mg", "pantoprazole 40 mg", "sertraline 50 mg", "salbutamol inhaler",
    "rosuvastatin 10 mg", "apixaban 5 mg",
)  # fmt: skip
_COPAYS: Final = ("0.00", "4.11", "6.11", "8.83", "12.50", "2.00", "0.00", "4.11")
_NOTES: Final = (
    "Ring twice, the bell is weak.",
    "Side door, past the garage.",
    "Call when you are downstairs.",
    "A dog barks; it is friendly.",
)
SEED: Final = 20_261_124


class Inventor:
    """Makes up orders, the same ones in each run."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)  # noqa: S311 - invents people, guards no secret
        self._number = 8_872_300
        self._people = self._everyone()

    def orders(self, site: str, count: int, **changes: Any) -> list[dict[str, Any]]:
        """Return orders of a site, each of another patient."""
        return [self.order(site, **changes) for _ in range(count)]

    def order(self, site: str, **changes: Any) -> dict[str, Any]:
        """Return one order of a site."""
        pick = self._random
        number = self._next_number()
        name = next(self._people)
        made: dict[str, Any] = {
            "site": site,
            "external_order_id": f"{site[0].upper()}-{number % 100_000}",
            "patient_name": name,
            "patient_address": (
                f"{pick.randint(12, 2890)} {pick.choice(_STREETS)}, Toronto, ON "
                f"M{pick.randint(4, 6)}{pick.choice('ABCEHJKLM')} "
                f"{pick.randint(1, 9)}{pick.choice('ABCEGHJKL')}{pick.randint(1, 9)}"
            ),
            "patient_phone": f"+1416555{pick.randint(100, 199):04}",
            "external_patient_id": f"P-{1000 + _PEOPLE.index(name)}",
            "priority": pick.choice(("routine", "routine", "routine", "urgent")),
            "requires_signature": pick.random() < 0.4,  # noqa: PLR2004
            "prescriptions": list(self._bag(number)),
        }
        if pick.random() < 0.2:  # noqa: PLR2004
            made["notes"] = pick.choice(_NOTES)
        return {**made, **changes}

    def spoken_drug(self) -> str:
        """Return a drug as a prescription names it."""
        return self._random.choice(_DRUGS)

    def pause(self, least: float, most: float) -> float:
        """Return a random length of time between two."""
        return self._random.uniform(least, most)

    def is_one_in(self, many: int) -> bool:
        """Return true in one of ``many`` cases."""
        return self._random.randrange(many) == 0

    def door(self, name: str, copay: str) -> dict[str, Any]:
        """Return a driver's report of a completed delivery."""
        pick = self._random
        report: dict[str, Any] = {
            "proof": {
                "signer_name": name,
                "signer_relationship": "patient",
                "signature_url": f"https://courier.example/signatures/{pick.randrange(10**6):06}.png",
                "lat": round(pick.uniform(43.63, 43.70), 5),
                "lng": round(pick.uniform(-79.46, -79.33), 5),
            },
            "copay_collected": float(copay),
        }
        if float(copay):
            report["copay_method"] = pick.choice(("card", "card", "cash"))
        return report

    def _bag(self, number: int) -> Iterator[dict[str, Any]]:
        pick = self._random
        for each in range(pick.choice((1, 1, 1, 2, 3))):
            held: dict[str, Any] = {
                "rx_number": f"RX-{number + each}",
                "copay_amount": float(pick.choice(_COPAYS)),
            }
            if pick.random() < 0.12:  # noqa: PLR2004
                held["refrigerated"] = True
            if pick.random() < 0.08:  # noqa: PLR2004
                held["controlled"] = True
            yield held

    def _next_number(self) -> int:
        self._number += self._random.randint(4, 19)
        return self._number

    def _everyone(self) -> Iterator[str]:
        while True:
            shuffled = list(_PEOPLE)
            self._random.shuffle(shuffled)
            yield from shuffled


def copay_of(order: Mapping[str, Any]) -> str:
    """Return the copay of an order's bag."""
    parts: Sequence[Mapping[str, Any]] = order["prescriptions"]
    return f"{sum(float(each['copay_amount']) for each in parts):.2f}"
