"""The drug catalog in the database."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import delete, func, select

from gateway.plugin import AsyncConnection, insert_rows
from gateway_rx_queue.model import Drug, Medication
from gateway_rx_queue.rules.drug import strengths
from gateway_rx_queue.tables import rx_drug_words, rx_drugs

SEPARATOR: Final = "\n"
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
# A word that more products than this contain does not identify a drug.
_MOST_FOUND: Final = 400
_PARAMETERS: Final = 5000
_AT_ONCE: Final = 1000
_COLUMNS: Final = tuple(column.name for column in rx_drugs.columns)


class Catalog(NamedTuple):
    """The catalog's entries for some prescriptions."""

    loaded: bool
    by_din: Mapping[str, Drug]
    by_word: Mapping[str, Collection[str]]

    def entry(self, drug: Medication) -> Drug | None:
        """Return the product with the drug's DIN."""
        return self.by_din.get(drug.din) if drug.din else None

    def named(self, drug: Medication) -> list[Drug]:
        """Return the products sold now that the text names, with its strength if it has one."""
        word = first_word(drug.drug_text)
        wanted = strengths(" ".join((drug.strength or "", drug.drug_text or "")))
        listed = (self.by_din[din] for din in sorted(self.by_word.get(word or "", ())))
        found = [each for each in listed if each.active]
        if not wanted:
            return found
        return [each for each in found if wanted & strengths(f"{each.strength} {each.name}")]


EMPTY: Final = Catalog(loaded=False, by_din={}, by_word={})


def first_word(text: str | None) -> str | None:
    """Return the word that a drug's text begins with: its name."""
    found = _WORD.search((text or "").casefold())
    return found.group() if found else None


def words_of(drug: Drug) -> set[str]:
    """Return the words that a drug is found by."""
    names = " ".join((drug.name, *drug.ingredients)).casefold()
    return set(_WORD.findall(names))


async def look_up(connection: AsyncConnection, drugs: Iterable[Medication]) -> Catalog:
    """Return the entries of the DINs of ``drugs``, and of the names in their texts."""
    if (await connection.execute(select(rx_drugs.c.din).limit(1))).first() is None:
        return EMPTY
    asked = list(drugs)
    words = {word for each in asked if (word := first_word(each.drug_text))}
    by_word: dict[str, list[str]] = {}
    for word in sorted(words):
        rows = await connection.execute(
            select(rx_drug_words.c.din).where(rx_drug_words.c.word == word).limit(_MOST_FOUND + 1)
        )
        found = [row[0] for row in rows]
        if len(found) <= _MOST_FOUND:
            by_word[word] = found
    dins = {each.din for each in asked if each.din}
    dins.update(din for each in asked for din in each.din_candidates)
    dins.update(din for found in by_word.values() for din in found)
    by_din = await _entries(connection, sorted(dins))
    return Catalog(loaded=True, by_din=by_din, by_word=by_word)


async def count(connection: AsyncConnection) -> int:
    """Return how many products the catalog has."""
    found = await connection.execute(select(func.count()).select_from(rx_drugs))
    return int(found.scalar_one())


async def _entries(connection: AsyncConnection, dins: list[str]) -> dict[str, Drug]:
    found = {}
    for start in range(0, len(dins), _PARAMETERS):
        some = dins[start : start + _PARAMETERS]
        for row in await connection.execute(select(rx_drugs).where(rx_drugs.c.din.in_(some))):
            found[row.din] = Drug(
                din=row.din,
                name=row.name,
                ingredients=tuple(filter(None, row.ingredients.split(SEPARATOR))),
                strength=row.strength,
                form=row.form,
                schedules=tuple(filter(None, row.schedules.split(SEPARATOR))),
                active=bool(row.active),
            )
    return found


async def replace(connection: AsyncConnection, drugs: Iterable[Drug], now_ms: int) -> int:
    """Replace the whole catalog by ``drugs``; returns their number."""
    await connection.execute(delete(rx_drug_words))
    await connection.execute(delete(rx_drugs))
    stored = 0
    for some in batched(drugs, _AT_ONCE):
        rows = [
            (
                *(drug.din, drug.name, SEPARATOR.join(drug.ingredients), drug.strength),
                *(drug.form, SEPARATOR.join(drug.schedules), drug.active, now_ms),
            )
            for drug in some
        ]
        await insert_rows(connection, rx_drugs, _COLUMNS, rows)
        words = [(word, drug.din) for drug in some for word in sorted(words_of(drug))]
        await insert_rows(connection, rx_drug_words, ("word", "din"), words)
        stored += len(rows)
    return stored


def batched(drugs: Iterable[Drug], size: int) -> Iterator[list[Drug]]:
    """Yield lists of up to ``size``."""
    stream = iter(drugs)
    while some := list(islice(stream, size)):
        yield some
