"""How well labels are read: ``make labels ARGS="--labels 200 --seed 1"`` prints the tables of
docs/performance.md.

Each made-up label is read in the plugin's own sandbox; a field is right where its value is what is
printed. Layouts for judging; ``--tuning`` takes those that the finders were made with.
"""

import argparse
import io
import statistics
import time
from collections import Counter
from datetime import date

from gateway_labels.fields.draft import Reading, fields_of
from gateway_labels.label_reader import decoded, new_sandbox
from gateway_labels.settings import LabelsSettings
from plugins.labels.made_labels import LEVELS, made

from gateway.plugin import to_e164

TODAY = date(2026, 11, 29)
COUNTRIES = {"US": "US", "CA": "CA", "FR": "CA"}


def same(name, value, printed, country):
    """Say whether a value is what is printed, in an order's spelling."""
    if name == "patient_phone":
        return value == to_e164(printed, country)
    if name == "patient_name":
        return value.casefold() == printed.casefold()
    plain = str.maketrans("", "", " ,.()#")
    return value.translate(plain).casefold() == printed.translate(plain).casefold()


def verdicts(label, fields):
    """Yield each printed field with its verdict: right, wrong or missing, and what was found."""
    found = {each.name: each for each in fields}
    for name, printed in label.printed.items():
        field = found.get(name)
        if field is None:
            yield name, "missing", None, printed
        else:
            is_right = same(name, field.value, printed, COUNTRIES[label.place])
            yield name, "right" if is_right else "wrong", field, printed


def read(sandbox, label, settings):
    """Read a label; returns its fields and the seconds that the picture took."""
    started = time.perf_counter()
    scanned = decoded(sandbox.read(io.BytesIO(label.jpeg())))
    seconds = time.perf_counter() - started
    reading = Reading(settings.patterns(), COUNTRIES[label.place], TODAY)
    return fields_of(scanned.lines, scanned.codes, reading), seconds, scanned


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--levels", default="0123")
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--show", action="store_true", help="print what was not right")
    asked = parser.parse_args()
    settings = LabelsSettings()
    sandbox = new_sandbox(600, in_background=False)
    counts, sure, unsafe, seconds, peak = Counter(), Counter(), Counter(), [], 0
    levels = [each for each in LEVELS if str(each) in asked.levels]
    try:
        for number in range(asked.labels):
            level = levels[number % len(levels)]
            seed = asked.seed * 100_000 + number // len(levels)
            label = made(seed, level, judging=not asked.tuning)
            fields, took, scanned = read(sandbox, label, settings)
            seconds.append(took)
            if asked.show and number % 20 == 19:
                report(levels, counts, sure, unsafe)
            peak = max(peak, sandbox.resident_bytes)
            for name, verdict, field, printed in verdicts(label, fields):
                counts[level, name, verdict] += 1
                if field is not None:
                    sure[level, verdict, field.confidence] += 1
                if verdict == "wrong" and field.confidence == "high":
                    unsafe[level, "one source" if field.sources < 2 else "two sources"] += 1
                if asked.show and verdict != "right":
                    got = None if field is None else (field.value, field.confidence)
                    print(seed, level, label.layout, name, verdict, repr(printed), got)
                    if verdict == "missing" or asked.labels < 5:
                        print("   ", [each["text"] for each in scanned.lines])
    finally:
        sandbox.close()
    report(levels, counts, sure, unsafe)
    print(f"\n{asked.labels} labels, median {statistics.median(seconds[1:] or seconds):.2f} s a "
          f"label, at most {max(seconds):.2f} s, {peak / 1e6:.0f} MB")  # fmt: skip


def report(levels, counts, sure, unsafe):
    names = sorted({name for _, name, _ in counts})
    print("| level | field | right | wrong | missing |\n|---|---|---|---|---|")
    for level in levels:
        for name in names:
            row = [counts[level, name, each] for each in ("right", "wrong", "missing")]
            print(f"| {level} | `{name}` | {row[0]} | {row[1]} | {row[2]} |")
    print("\n| level | right | of these high | wrong, high: one source | two sources |")
    print("|---|---|---|---|---|")
    for level in levels:
        whole = sum(n for (at, _, _), n in counts.items() if at == level)
        right = sum(
            n for (at, _, verdict), n in counts.items() if (at, verdict) == (level, "right")
        )
        high = sure[level, "right", "high"]
        print(
            f"| {level} | {right / max(whole, 1):.3f} | {high / max(right, 1):.2f} "
            f"| {unsafe[level, 'one source']} | {unsafe[level, 'two sources']} |"
        )


if __name__ == "__main__":
    main()
