"""The argument of a page's handler: the person, the request, their language and formats."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from litestar import Request

from gateway.errors import GatewayError
from gateway.model.account import Caller, Mode
from gateway.model.permission import Role
from gateway.sdk.formats import Formats

DASHBOARD: Final = "/dashboard"


class Query:
    """The fields of a form, or of a query string; a missing field is ``""``."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a field."""
        return next((value for key, value in reversed(self._pairs) if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a field, such as checked boxes."""
        return [value for key, value in self._pairs if key == name]

    def without(self, names: Sequence[str]) -> "Query":
        """Return the fields without those of ``names``."""
        return Query([pair for pair in self._pairs if pair[0] not in names])

    def pairs(self) -> Sequence[tuple[str, str]]:
        """Return all names and values, in order."""
        return self._pairs

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self._pairs)

    def __getitem__(self, name: str) -> str:
        return self.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __bool__(self) -> bool:
        return bool(self._pairs)


@dataclass(frozen=True, slots=True)
class PagePerson:
    """The signed-in person; ``sites`` are the codes of theirs, ``None`` for all."""

    id: str
    name: str
    role: Role
    language: str
    sites: tuple[str, ...] | None = None


class Texts(Protocol):
    """A language's texts: gettext."""

    def gettext(self, message: str, /) -> str:
        """Return a translated text."""
        ...

    def ngettext(self, one: str, many: str, n: int, /) -> str:
        """Return a translated text for a number."""
        ...


class PageMemory(Protocol):
    """Keeps a person's search texts, sealed and for a short time."""

    async def remember(self, person_id: str, text: str) -> str:
        """Keep a text; returns its token."""
        ...

    async def recall(self, person_id: str, token: str) -> str | None:
        """Return the text of a token, for the same person."""
        ...


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """A request for a page, or for an action of one.

    ``caller`` is for services, as in an API route: its mode is the path's, its sites are narrowed
    to the chosen one (``site``). ``path`` has the path parameters. ``region`` are the requested
    regions of the page, ``()`` for the whole page. After an error of an action, the page's own
    handler is called with the ``problem``, and with the typed input in ``given``.
    """

    caller: Caller
    person: PagePerson
    site: str | None
    path: Mapping[str, str]
    query: Query
    http: Request[Any, Any, Any]
    formats: Formats
    texts: Texts
    memory: PageMemory
    read_form: Callable[[], Awaitable[Query]]
    now: datetime
    region: tuple[str, ...] = ()
    given: Query = field(default_factory=Query)
    problem: GatewayError | None = None

    @property
    def mode(self) -> Mode:
        """Whether live or test data is shown."""
        return self.caller.mode

    @property
    def is_test(self) -> bool:
        """Whether test data is shown."""
        return self.caller.mode == "test"

    async def form(self) -> Query:
        """Return the fields of the form; raises ``InvalidInput`` for one that is malformed."""
        return await self.read_form()

    def text(self, message: str, **values: object) -> str:
        """Return ``message`` in the reader's language; ``{name}`` stands for a value."""
        found = self.texts.gettext(message)
        return found.format(**values) if values else found

    def ntext(self, one: str, many: str, n: int, **values: object) -> str:
        """Return the text for ``n`` in the reader's language; ``{n}`` is the number."""
        number = self.formats.number(n)
        return self.texts.ngettext(one, many, n).format(**{"n": number, **values})

    def url(self, path: str, *, mode: Mode | None = None, **query: object) -> str:
        """Return the address of a page, in this mode (or ``mode``) and for the chosen site.

        ``query`` adds parameters; one that is ``None`` or ``""`` is left out.
        """
        return page_url(path, mode or self.mode, {"site": self.site, **query})

    async def remember(self, text: str) -> str:
        """Keep ``text`` for this person for 15 minutes; returns a token for the URL.

        A search for a patient must not be in a URL: remember the text and recall it.
        """
        return await self.memory.remember(self.person.id, text)

    async def recall(self, token: str) -> str | None:
        """Return a remembered text; ``None`` when it is too old or another person's."""
        return await self.memory.recall(self.person.id, token) if token else None


def page_url(path: str, mode: Mode, query: Mapping[str, object] | None = None) -> str:
    """Return the address of a page; ``path`` may have a query and a fragment of its own."""
    rest, mark, fragment = path.partition("#")
    place, _, own = rest.partition("?")
    parts = [DASHBOARD, *(["test"] if mode == "test" else []), *([place] if place else [])]
    more = urlencode({k: v for k, v in (query or {}).items() if v is not None and v != ""})
    asked = "&".join(filter(None, (own, more)))
    return "/".join(parts) + (f"?{asked}" if asked else "") + mark + fragment
