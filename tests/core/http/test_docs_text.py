"""Docstrings become HTML: paragraphs, lists, code, and never markup of their own."""

import inspect

import pytest
from html_page import shown

from gateway.http.docs.text import inline, prose, without_curl


def test_a_docstring_becomes_paragraphs_lists_and_code():
    text = inspect.cleandoc(
        """First line
        goes on.

        - one
          and more
        - ``two``

        Like this::

            a < b

            c

        ```json
        {"a": 1}
        ```
        Last :class:`Order`.
        """
    )
    panel = '<figure class="panel"><figcaption>{}</figcaption><pre><code>{}</code></pre></figure>'
    assert prose(text) == (
        "<p>First line goes on.</p><ul><li>one and more</li><li><code>two</code></li></ul>"
        "<p>Like this:</p>"
        + panel.format("Example", "a &lt; b\n\nc")
        + panel.format("Json", "{&quot;a&quot;: 1}")
        + "<p>Last <code>Order</code>.</p>"
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("::\n\n    curl x", "Shellcurl x"),
        ("```\nnever closed", "Examplenever closed"),
        ("a\n- b", "ab"),
        ("One line.\n\n\tindented = 1", "One line.Exampleindented = 1"),
    ],
)
def test_odd_docstrings_lose_nothing(text, html):
    assert shown(prose(text)) == html


def test_text_is_escaped_before_it_is_marked_up():
    assert inline("`<b>` & ``x`y``") == "<code>&lt;b&gt;</code> &amp; <code>x`y</code>"


def test_only_fenced_curl_lines_are_taken_out():
    text = "Say:\n\n```bash\ncurl $GATEWAY/x \\\n  -d 1\n```\n\n```python\nprint()\n```\nEnd."
    said, taken = without_curl(text)
    assert taken == ["curl $GATEWAY/x \\\n  -d 1"]
    assert said == "Say:\n\n\n\n```python\nprint()\n```\nEnd."
