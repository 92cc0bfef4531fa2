"""Whatever is invented: CSV says the same as JSON, export the same as import, fuzz does no harm."""

import asyncio
import csv
import datetime as dt
import io
import itertools
import json
from collections.abc import Callable, Coroutine

import httpx
import pytest
from gateway_csv.columns.evidence import misfit, weak_misfit
from gateway_csv.export import Wanted, export
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plugins.csv.files import PLUGINS, Sender, workbook
from sqlalchemy import text

ORDERS = "/api/webhook/orders"
WIDE = f"{PLUGINS}orders_requests_per_minute = 100000\norders_per_hour = 1000000\n"
# What no cell can say: nothing, in all its spellings, and spaces at its ends.
NOTHING = frozenset(
    {
        "-",
        "--",
        "\u2013",
        "\u2014",
        "n/a",
        "#n/a",
        "n.a.",
        "null",
        "(null)",
        "none",
        "nil",
        "(blank)",
        "(empty)",
        "not available",
        "unknown",
        "#value!",
        "#ref!",
    }
)
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
LINES = st.one_of(LETTERS, st.sampled_from("\n\t,;\"'|=+-@0123456789"))


def texts(characters, most):
    """Texts that a cell can say: not one of nothing's spellings, no apostrophe in front."""
    return (
        st.text(characters, min_size=1, max_size=most)
        .map(str.strip)
        .filter(lambda each: each and each.casefold() not in NOTHING)
        .filter(lambda each: not each.startswith("'"))
    )


LINE = texts(st.one_of(LETTERS, st.sampled_from(",;\"'|=+-@ 0123456789")), 40)
# A code has digits, one word at most, and isn't a number that a spreadsheet would have rounded.
CODE = st.builds(
    "{}{}{}".format,
    st.sampled_from(["RX-", "A", "No. ", "P-", "\u00c9-", "x", "="]),
    st.integers(1, 999_999_999),
    st.sampled_from(["", "B", "-7"]),
).filter(lambda each: not misfit("rx_number", each))
FIRST = st.sampled_from(
    [
        "Ana",
        "J\u00f6rg",
        "\u00c9lo\u00efse",
        "\u0416\u0430\u043d\u043d\u0430",
        "Mary-Jane",
        "O'Neil",
        "Bo",
        "=Ana",
    ]
)
LAST = st.sampled_from(
    [
        "Reed",
        "de la Cruz",
        "N\u00fa\u00f1ez",
        "Smith, Jr.",
        "van Dyke",
        "Ng",
        "\u5c71\u7530 \u592a\u90ce",
    ]
)
NAME = st.builds("{} {}".format, FIRST, LAST)
ADDRESS = st.builds(
    "{} {}, {}".format,
    st.integers(1, 9999),
    st.sampled_from(["Elm St", "rue de l'\u00c9glise", 'Oak "Hill" Rd', "Main;St", "Lake|Dr"]),
    texts(LINES, 40),
).filter(lambda each: not misfit("patient_address", each))
MONEY = st.decimals(0, 10000, places=2, allow_nan=False, allow_infinity=False)


@st.composite
def orders(draw):
    """An order as JSON has it, every field of which may be missing but two."""
    maybe = {
        "patient_phone": st.sampled_from(["+13055551234", "(305) 555-1234", "3055559876"]),
        "patient_email": st.sampled_from(["ana@example.com", "b.c+d@example.org"]),
        "rx_number": st.integers(1, 10**7).map("RX-{}".format),
        "copay_amount": MONEY,
        "priority": st.sampled_from(["routine", "urgent", "stat"]),
        "requires_signature": st.booleans(),
        "delivery_date": st.dates(min_value=dt.date(2000, 1, 1), max_value=dt.date(2100, 12, 31)),
        "notes": texts(LINES, 60).filter(lambda each: not weak_misfit("notes", each)),
        "external_patient_id": st.integers(1, 10**7).map("P-{}".format),
        "metadata": st.dictionaries(
            texts(st.sampled_from("abcxyz "), 8), LINE, min_size=1, max_size=3
        ),
    }
    order = {"patient_name": draw(NAME), "patient_address": draw(ADDRESS)}
    for name, values in maybe.items():
        if draw(st.booleans()):
            order[name] = draw(values)
    return order


def as_csv(some, delimiter):
    names = sorted({name for order in some for name in order})
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    for order in some:
        writer.writerow([_cell(order.get(name)) for name in names])
    return file.getvalue()


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value) if isinstance(value, dict) else str(value)


async def invented(check: Callable[..., Coroutine], examples: int, **given_: st.SearchStrategy):
    """Let hypothesis call ``check``, a coroutine function of this loop, from a thread."""
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(**given_)
    def run(**values):
        asyncio.run_coroutine_threadsafe(check(**values), loop).result(60)

    await asyncio.to_thread(run)


def said(package):
    changing = {"id", "source", "status_at", "created_at", "external_order_id"}
    return {name: value for name, value in package.items() if name not in changing}


@pytest.mark.slow
async def test_an_order_makes_the_same_package_through_csv_and_through_json(harness):
    async with harness(WIDE) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        number = itertools.count()

        async def check(some, delimiter):
            some = [{**each, "external_order_id": f"SO-{next(number)}"} for each in some]
            answer = await gateway.post(ORDERS, sender.key, {"orders": some})
            report = await sender.send(as_csv(some, delimiter))
            assert report["created"] == len(some), report["errors"]
            ids = answer.json()["package_ids"], report["package_ids"]
            for one, other in zip(*ids, strict=True):
                assert said(await _package(sender, one)) == said(await _package(sender, other))

        await invented(
            check,
            60,
            some=st.lists(orders(), min_size=1, max_size=3),
            delimiter=st.sampled_from(",;\t|"),
        )


async def _package(sender, package_id):
    answer = await sender.gateway.get(f"/api/packages/{package_id}", sender.key)
    assert answer.status_code == 200
    return answer.json()


def _numbered(row, number):
    """Return the row with notes and, where it has one, an rx number of its own."""
    own = {"rx_number": f"RX-{number}"} if row.get("rx_number") else {}
    return {**row, "notes": f"{number}", **own}


@pytest.mark.slow
async def test_import_and_export_and_import_are_stable(harness):
    """What was imported and exported imports elsewhere as the same, and here as nothing new."""
    async with harness(WIDE) as gateway:
        live = Sender(gateway, await gateway.issue_key())
        other = Sender(gateway, await gateway.issue_key(mode="test"))
        number = itertools.count()

        async def check(some):
            some = [_numbered(each, next(number)) for each in some]
            before = await live.send(as_csv(some, ","))
            file = await _exported(gateway, "live")
            known = await live.send(file)
            elsewhere = await other.send(file)

            assert (before["created"], before["errors"]) == (len(some), [])
            assert (known["created"], known["errors"]) == (0, [])
            assert elsewhere["created"] == len(some)
            assert _sorted(await _exported(gateway, "test")) == _sorted(file)

        await invented(check, 25, some=st.lists(orders(), min_size=1, max_size=3))


async def _exported(gateway, mode):
    out = io.StringIO()
    await export(gateway.gateway, gateway.caller(mode=mode), Wanted(), out)
    return out.getvalue()


def _sorted(file):
    rows = list(csv.DictReader(io.StringIO(file.removeprefix("\ufeff"), newline="")))
    kept = [{**each, "package_id": "", "created_at": ""} for each in rows]
    return sorted(kept, key=lambda each: int(each["notes"]))


TABLE_WORDS = st.sampled_from(
    [
        "patient_name",
        "patient_address",
        "copay",
        "deliver on",
        "phone",
        "Ana",
        "12,50",
        "$1.5e9",
        "31/04/2026",
        "04/31/2026",
        "Total",
        '"',
        "'",
        "=1+1",
        "\0",
        "1.3E+10",
        ",",
        ";",
        "\t",
        "|",
        "\n",
        "\r\n",
        "\r",
        " ",
        "sep=;",
        "é",
        "\ufeff",
        "N/A",
        '""',
        "\u2028",
        "1 Elm St",
    ]
)
TEXT_FILES = st.lists(TABLE_WORDS, max_size=60).map("".join)
HEADED = TEXT_FILES.map(lambda each: f"patient_name,patient_address,copay,phone\n{each}")
ENCODED = st.builds(
    lambda words, codec: words.encode(codec, "replace"),
    st.one_of(TEXT_FILES, HEADED),
    st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "cp437"]),
)
WORKBOOK = workbook(["patient_name", "patient_address"], ["Ana", "1 Elm"], ["Bo", "2 Elm"])


@st.composite
def damaged(draw):
    """A workbook with some of its bytes changed, or cut short."""
    file = bytearray(WORKBOOK)
    for _ in range(draw(st.integers(0, 6))):
        file[draw(st.integers(0, len(file) - 1))] = draw(st.integers(0, 255))
    return bytes(file[: draw(st.integers(0, len(file)))] if draw(st.booleans()) else file)


@pytest.mark.slow
async def test_a_fuzzed_file_is_reported_or_refused_and_never_half_imported(harness):
    async with harness(WIDE) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        kept = 0

        async def check(file):
            nonlocal kept
            answer = await sender.post(file, "?again=true")
            assert answer.status_code in {200, 400, 413}, answer.text
            if answer.status_code == httpx.codes.OK:
                report = answer.json()
                kept += report["created"]
                problems = (*report["errors"], *report["warnings"])
                told = {each["row"] for each in problems if "row" in each}
                assert report["rows"] <= report["created"] + len(told)
            else:
                assert answer.json()["error"]
            assert await _count(gateway) == kept

        await invented(check, 150, file=st.one_of(st.binary(max_size=300), ENCODED))
        await invented(check, 12, file=damaged())


async def _count(gateway):
    async with gateway.gateway.database.read() as connection:
        return await connection.scalar(text("SELECT count(*) FROM packages"))
