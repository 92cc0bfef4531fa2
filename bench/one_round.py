"""One round of a checkout's own bench, for compare.py: prints its tables as JSON.

    CHECKOUT/.venv/bin/python one_round.py CHECKOUT PARTS OPTIONS

It runs in the checkout's own environment and imports the checkout's ``run``, ``part`` and
``stage``, whose interfaces (``chosen``, ``Plan``, ``Stage``) all commits share. ``OPTIONS``
is a JSON object of what ``Plan`` takes. Nothing is written to docs/performance.md.
"""

import contextlib
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(checkout: str, words: str, options: str) -> None:
    """Measure each part once."""
    sys.path[0] = str(Path(checkout, "bench").resolve())  # it was this script's own folder
    import run
    from part import Plan
    from stage import Stage

    tables: list[dict[str, Any]] = []
    with (
        contextlib.redirect_stdout(sys.stderr),  # what it says meanwhile is not the answer
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
    ):
        for part in run.chosen(words):
            found = part.measure(Stage(Path(folder)), Plan(rounds=1, **json.loads(options)))
            tables.extend(dataclasses.asdict(table) for table in found)
    print(json.dumps(tables))


if __name__ == "__main__":
    main(*sys.argv[1:])
