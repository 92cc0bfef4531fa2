"""Plain text, JSON and code as HTML: the smallest parts of the page at ``/docs``.

Arguments are text and get escaped, except where said; results are HTML.
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import takewhile
from typing import Any, Final

_LITERAL: Final = re.compile(r"(?::[a-z:]+:)?(`{1,2})(?!`)(.+?)\1", re.DOTALL)
_BULLET: Final = re.compile(r"[-*] +(?=\S)")
_LONG_NAME: Final = 28
_FENCE: Final = "```"
_FENCED: Final = re.compile(r"^```[^\n]*\n(.*?)^```[ ]*$", re.DOTALL | re.MULTILINE)
_TOKEN: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)"
)


def prose(text: str) -> str:
    """Write a dedented docstring: paragraphs, lists, code indented or fenced."""
    return "".join(_blocks(text.expandtabs(4).splitlines()))


def without_curl(text: str) -> tuple[str, list[str]]:
    """Split a docstring into its text and its fenced curl lines."""
    taken: list[str] = []

    def take(block: re.Match[str]) -> str:
        if not block.group(1).startswith("curl "):
            return block.group()
        taken.append(block.group(1).rstrip())
        return ""

    return _FENCED.sub(take, text), taken


def inline(text: str) -> str:
    """Write one run of text; backticks (Markdown or reST) mark code."""
    return _LITERAL.sub(r"<code>\2</code>", escape(text))


def code(value: Any) -> str:
    """Write a value as JSON, a text without its quotes."""
    return f"<code>{escape(value if isinstance(value, str) else as_json(value))}</code>"


def as_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON; a date or Decimal as its text."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)


def named(text: str) -> str:
    """Write a field or parameter name as code; only a very long one may break."""
    kind = ' class="long"' if len(text) > _LONG_NAME else ""
    return f"<code{kind}>{escape(text)}</code>"


def panel(text: str, caption: str) -> str:
    """Write a block of code with a copy button."""
    return panel_of(escape(text), caption)


def panel_of(content: str, caption: str) -> str:
    """Write a block of code whose ``content`` is HTML."""
    return (
        f'<figure class="panel"><figcaption>{escape(caption)}</figcaption>'
        f"<pre><code>{content}</code></pre></figure>"
    )


def json_panel(value: Any, caption: str) -> str:
    """Write a value as indented JSON, in colours."""
    written = as_json(value, indent=2)
    pieces: list[str] = []
    end = 0
    for token in _TOKEN.finditer(written):
        pieces += escape(written[end : token.start()]), _coloured(token)
        end = token.end()
    return panel_of("".join(pieces) + escape(written[end:]), caption)


def table(label: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of HTML cells; the first cell of a row names the row.

    The roles keep the table semantics when the style sheet stacks its cells on a phone.
    """
    head = "".join(f'<th role="columnheader" scope="col">{escape(each)}</th>' for each in headings)
    body = "".join(f'<tr role="row">{_cells(row)}</tr>' for row in rows)
    return (
        f'<table role="table" aria-label="{escape(label)}">'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def _cells(row: Sequence[str]) -> str:
    first, *rest = row
    cells = "".join(f'<td role="cell">{cell}</td>' for cell in rest)
    return f'<th role="rowheader" scope="row">{first}</th>{cells}'


def _coloured(token: re.Match[str]) -> str:
    return f'<span class="j-{token.lastgroup}">{escape(token.group())}</span>'


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    """Split a text into blocks; a block ends at a blank line or at another kind of block."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif line.startswith(_FENCE):
            inside = list(takewhile(lambda each: not each.startswith(_FENCE), lines[at + 1 :]))
            at += len(inside) + 2
            yield _code_block(inside, line.strip("` "))
        elif line.startswith("  "):
            inside = list(takewhile(lambda each: not each.strip() or each[0] == " ", lines[at:]))
            at += len(inside)
            yield _code_block(inside)
        elif _BULLET.match(line):
            inside = list(takewhile(_in_list, lines[at:]))
            at += len(inside)
            yield _list(inside)
        else:
            inside = list(takewhile(_in_paragraph, lines[at:]))
            at += len(inside)
            yield _paragraph(inside)


def _in_list(line: str) -> bool:
    return bool(_BULLET.match(line)) or line.startswith(" ")


def _in_paragraph(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(_FENCE) and not _BULLET.match(line)


def _code_block(lines: Sequence[str], language: str = "") -> str:
    text = inspect.cleandoc("\n" + "\n".join(lines))
    shell = text.startswith(("curl ", "$ "))
    return panel(text, "Shell" if shell else language.capitalize() or "Example")


def _list(lines: Sequence[str]) -> str:
    items: list[str] = []
    for line in lines:
        bullet = _BULLET.match(line)
        if bullet:
            items.append(line[bullet.end() :])
        else:
            items[-1] += f" {line.strip()}"
    return "<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>"


def _paragraph(lines: Sequence[str]) -> str:
    """Write a paragraph; reST's ``::`` before code shows as one colon, or not at all."""
    text = " ".join(line.strip() for line in lines)
    if text.endswith("::"):
        text = text[:-1] if text[:-2].strip() else ""
    return f"<p>{inline(text)}</p>" if text else ""
