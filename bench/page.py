"""docs/performance.md: what was measured now, and what was measured last of all the rest."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

from table import Table

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
_TEMPLATE: Final = Path(__file__).with_name("performance.md.template")
_BLOCK: Final = re.compile(r"<!-- (\w+): begin -->\n(.*?)\n<!-- \1: end -->", re.DOTALL)
_NOT_YET: Final = "*Not measured yet.*"


def written(
    template: str,
    page: str,
    tables: Sequence[Table] = (),
    stamp: str = "",
    facts: Mapping[str, str] | None = None,
) -> str:
    """Return the page anew: ``tables`` with ``stamp`` over each, the others as ``page`` has them.

    Raises ``ValueError`` when the template has no place for a table.
    """
    form = Template(template)
    places = form.get_identifiers()
    if missing := {table.key for table in tables}.difference(places):
        sentence = f"performance.md.template has no place for: {', '.join(sorted(missing))}"
        raise ValueError(sentence)
    blocks = dict.fromkeys(places, _NOT_YET)
    blocks |= {key: block for key, block in _BLOCK.findall(page) if key in blocks}
    blocks |= {table.key: f"{stamp}\n\n{table.as_markdown()}" for table in tables}
    if facts is not None:
        blocks["machine"] = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return form.substitute(
        {
            key: f"<!-- {key}: begin -->\n{block}\n<!-- {key}: end -->"
            for key, block in blocks.items()
        }
    )


def write(
    tables: Sequence[Table] = (), stamp: str = "", facts: Mapping[str, str] | None = None
) -> None:
    """Write docs/performance.md; with nothing new to show, only as the template has it by now."""
    before = PAGE.read_text("utf-8") if PAGE.exists() else ""
    after = written(_TEMPLATE.read_text("utf-8"), before, tables, stamp, facts)
    PAGE.write_text(after, "utf-8")


if __name__ == "__main__":
    write()
