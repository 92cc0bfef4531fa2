"""Reading what ``gateway check --json`` found."""

import json

from click.testing import Result


def problems(result: Result) -> list[tuple[str | None, str]]:
    """Return place and sentence of each problem; the file is the same in all of them."""
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 1)
    return [(each["field"], each["message"]) for each in found["problems"]]
