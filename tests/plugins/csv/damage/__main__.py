"""Reads many damaged files, and prints what became of them by kind of damage."""

import argparse
import multiprocessing
import sys
from collections import Counter
from typing import NamedTuple

from plugins.csv.damage.judge import HARMFUL, HARMLESS, damaged, judged

_SEEDS_APART = 1_000_003


class Found(NamedTuple):
    """What became of one file; ``shown`` is what to look at where it is wrong."""

    kind: str
    rows: int
    imported: int
    refused: bool
    wrong: int
    shown: str


def tried(seed: int, kinds: tuple) -> Found:
    """Make the file of a seed, and read it."""
    name, sheet = damaged(seed, kinds)
    verdict, outcome = judged(sheet)
    shown = ""
    is_short = verdict.imported < len(sheet.truth)
    if verdict.wrong or (kinds is HARMLESS and is_short):
        lines = sheet.file().decode("utf-8", "replace").splitlines()[:4]
        said = [*verdict.wrong[:2], outcome.refusal, str(dict(list(outcome.errors.items())[:3]))]
        shown = "\n".join([f"--- {name} {seed}", *lines, *said])
    rows = len(sheet.truth) if kinds is HARMLESS else verdict.rows
    return Found(name, rows, verdict.imported, verdict.refused, len(verdict.wrong), shown)


def _harmful(seed: int) -> Found:
    return tried(seed, HARMFUL)


def _harmless(seed: int) -> Found:
    return tried(seed, HARMLESS)


def main() -> int:
    """Read the files and print the table; exits with 1 for a wrong package."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make damage")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--harmless", action="store_true", help="changes that must do no harm")
    parser.add_argument("--show", type=int, default=5, help="so many wrong files are shown")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    kinds = HARMLESS if options.harmless else HARMFUL
    files, rows, imported, refused, taken, wrong = (Counter() for _ in range(6))
    shown = 0
    seeds = [options.seed * _SEEDS_APART + each for each in range(options.files)]
    with multiprocessing.Pool(options.jobs) as pool:
        work = pool.imap(_harmless if options.harmless else _harmful, seeds, chunksize=100)
        for each in work:
            files[each.kind] += 1
            rows[each.kind] += each.rows
            imported[each.kind] += each.imported
            refused[each.kind] += each.refused
            taken[each.kind] += 0 if each.refused else each.rows
            wrong[each.kind] += each.wrong
            if each.shown and shown < options.show:
                shown += 1
                sys.stdout.write(f"{each.shown}\n")
    lines = [
        "| damage | files | files refused | rows rejected of the others | rows imported | wrong |",
        "|---|---|---|---|---|---|",
    ]
    for name in (each.__name__ for each in kinds):
        if files[name]:
            share = imported[name] / max(rows[name], 1)
            rejected = max(taken[name] - imported[name], 0) / max(taken[name], 1)
            lines.append(
                f"| {name.replace('_', ' ')} | {files[name]:,} | {refused[name] / files[name]:.0%} "
                f"| {rejected:.0%} | {share:.1%} | {wrong[name]} |"
            )
    lines.append(f"{sum(files.values())} files, {sum(wrong.values())} wrong packages")
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(sum(wrong.values())))


if __name__ == "__main__":
    sys.exit(main())
