"""Reading an HTML page in a test: its elements, their attributes, the text a reader sees."""

from html.parser import HTMLParser

VOID = {"meta", "link", "wbr", "br", "img"}


class Page(HTMLParser):
    """What is on a page: elements in order, each with its attributes and the text inside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.unbalanced: list[str] = []
        self.feed(html)
        self.close()
        self.unbalanced += [tag for tag, _, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attrs}, list[str]())
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        for _, _, text in self._open:
            text.append(data)

    def texts(self, tag: str, **wanted: str) -> list[str]:
        """Return the text of each element with this tag and these attributes (class_ too)."""
        expected = {name.rstrip("_"): value for name, value in wanted.items()}
        return [
            " ".join("".join(text).split())
            for found, attributes, text in self.elements
            if found == tag and expected.items() <= attributes.items()
        ]

    def all(self, attribute: str) -> list[str]:
        """Return every value of an attribute."""
        return [attrs[attribute] for _, attrs, _ in self.elements if attribute in attrs]


def shown(html: str) -> str:
    """Return the text that a reader sees."""
    return Page(f"<div>{html}</div>").texts("div")[0]
