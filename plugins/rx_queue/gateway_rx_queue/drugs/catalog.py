"""The drug catalog in the database."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import delete, func, select

from gateway.plugin import AsyncConnection, decode, encode, insert_rows
from gateway_rx_queue.drugs.strengths import all_fit, read_strengths
from gateway_rx_queue.drugs.words import drug_words, stems
from gateway_rx_queue.model import Drug, Medication, Part
from gateway_rx_queue.rules.drug import listed_strengths
from gateway_rx_queue.tables import rx_catalog, rx_drug_words, rx_drugs

SEPARATOR: Final = "\n"
# A word that more products than this contain does not identify a drug.
_MOST_FOUND: Final = 400
_PARAMETERS: Final = 5000
_AT_ONCE: Final = 1000
_MAX_WORDS: Final = 8
_COLUMNS: Final = tuple(column.name for column in rx_drugs.columns)
_STATE_COLUMNS: Final = tuple(column.name for column in rx_catalog.columns)


class Catalog(NamedTuple):
    """The catalog's entries for some prescriptions. ``dated`` is the day of the extract."""

    loaded: bool
    by_din: Mapping[str, Drug]
    by_word: Mapping[str, Collection[str]]
    dated: date | None = None

    def entry(self, drug: Medication) -> Drug | None:
        """Return the product with the drug's DIN."""
        return self.by_din.get(drug.din) if drug.din else None

    def by_words(self, texts: Iterable[str]) -> dict[str, tuple[Drug, ...]]:
        """Return the products by each word of ``texts`` that may name a drug."""
        return {
            word: tuple(self.by_din[din] for din in sorted(self.by_word[word]))
            for text in texts
            for word in _searched(text)
            if self.by_word.get(word)
        }

    def named(self, drug: Medication) -> list[Drug]:
        """Return the products sold now that the text names, with its strength if it has one."""
        words = _searched(drug.drug_text or "")[:1]
        said = [
            each.strength
            for each in read_strengths(" ".join((drug.strength or "", drug.drug_text or "")))
        ]
        listed = (self.by_din[din] for word in words for din in sorted(self.by_word.get(word, ())))
        found = [each for each in listed if each.active]
        if not said:
            return found
        return [
            each
            for each in found
            if all_fit(said, [strength for _, strength in listed_strengths(each)])
        ]


EMPTY: Final = Catalog(loaded=False, by_din={}, by_word={})


class CatalogState(NamedTuple):
    """The loaded catalog: how many products, when it was loaded, and the day of its extract."""

    products: int
    loaded_at_ms: int | None
    dated: date | None


def _searched(text: str) -> list[str]:
    """Return the words of a text for searching products, in their order."""
    return list(drug_words(text))[:_MAX_WORDS]


def words_of(drug: Drug) -> set[str]:
    """Return the words by which a drug is found: stems of its name and of its ingredients."""
    return set(stems(" ".join((drug.name, *drug.ingredients))))


async def look_up(
    connection: AsyncConnection, drugs: Iterable[Medication], texts: Iterable[str] = ()
) -> Catalog:
    """Return the entries of the DINs of ``drugs``, and of the names in their and other texts."""
    newest = select(rx_drugs.c.din).limit(1)
    if (await connection.execute(newest)).first() is None:
        return EMPTY
    asked = list(drugs)
    read = {each.drug_text for each in asked if each.drug_text} | set(texts)
    words = {word for text in read for word in _searched(text)}
    by_word: dict[str, list[str]] = {}
    for word in sorted(words):
        rows = await connection.execute(
            select(rx_drug_words.c.din)
            .where(rx_drug_words.c.word.in_((word, f"{word}e")))  # with e: loaded by 0.1.0
            .limit(_MOST_FOUND + 1)
        )
        found = [row[0] for row in rows]
        if len(found) <= _MOST_FOUND:
            by_word[word] = found
    dins = {each.din for each in asked if each.din}
    dins.update(din for each in asked for din in each.din_candidates)
    dins.update(din for found in by_word.values() for din in found)
    by_din = await _entries(connection, sorted(dins))
    dated = (await state(connection)).dated
    return Catalog(loaded=True, by_din=by_din, by_word=by_word, dated=dated)


async def state(connection: AsyncConnection) -> CatalogState:
    """Return the state of the loaded catalog."""
    row = (await connection.execute(select(rx_catalog))).first()
    if row is None:
        return CatalogState(await count(connection), None, None)
    dated = date.fromisoformat(row.dated) if row.dated else None
    return CatalogState(row.products, row.loaded_at_ms, dated)


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
                parts=decode(row.parts.encode(), tuple[Part, ...]) if row.parts else (),
                product_class=row.product_class,
                status=row.status,
            )
    return found


async def replace(
    connection: AsyncConnection, drugs: Iterable[Drug], now_ms: int, dated: date | None = None
) -> int:
    """Replace the whole catalog by ``drugs``; returns their number."""
    await connection.execute(delete(rx_catalog))
    await connection.execute(delete(rx_drug_words))
    await connection.execute(delete(rx_drugs))
    stored = 0
    for some in batched(drugs, _AT_ONCE):
        rows = [
            (
                drug.din,
                drug.name,
                SEPARATOR.join(drug.ingredients),
                drug.strength,
                drug.form,
                SEPARATOR.join(drug.schedules),
                drug.active,
                now_ms,
                encode(drug.parts).decode(),
                drug.product_class,
                drug.status,
            )
            for drug in some
        ]
        await insert_rows(connection, rx_drugs, _COLUMNS, rows)
        words = [(word, drug.din) for drug in some for word in sorted(words_of(drug))]
        await insert_rows(connection, rx_drug_words, ("word", "din"), words)
        stored += len(rows)
    values = (1, stored, now_ms, dated.isoformat() if dated else None)
    await insert_rows(connection, rx_catalog, _STATE_COLUMNS, [values])
    return stored


def batched(drugs: Iterable[Drug], size: int) -> Iterator[list[Drug]]:
    """Yield lists of up to ``size``."""
    stream = iter(drugs)
    while some := list(islice(stream, size)):
        yield some
