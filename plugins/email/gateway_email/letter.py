"""A mail from events: plain text and HTML for light and dark, without patient data.

Only the fields below are ever shown. An event type that this module doesn't know is shown by
the catalog's sentence about its type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.plugin import Event, Gateway

NEEDED: Final = "attention.needed"
OVER: Final = "attention.over"
TEST: Final = "email.test"
_MAX_SUBJECT: Final = 120


@dataclass(frozen=True, slots=True)
class News:
    """One event as a mail shows it: a sentence, when it happened, the next command, a link.

    ``link`` leads to the dashboard's page, which asks for a sign-in.
    """

    text: str
    at: str
    command: str | None = None
    link: str | None = None
    is_over: bool = False


class Letters:
    """Writes the mails of one gateway."""

    def __init__(self, gateway: Gateway, sender: str) -> None:
        self._gateway = gateway
        self.sender = sender
        self._environment = Environment(
            loader=PackageLoader("gateway_email"), autoescape=True, undefined=StrictUndefined
        )

    def of(self, events: Sequence[Event], address: str, recipient_id: str) -> EmailMessage:
        """Return one mail for ``events``, at least one, oldest first.

        The Message-ID is the same for each attempt of the same events, so that a mail server
        or reader can recognise a mail that was sent twice.
        """
        meanings = {each.type: each.meaning for each in self._gateway.catalog()}
        settings = self._gateway.settings
        root = f"{settings.gateway.public_url.rstrip('/')}/dashboard/"
        pages = root if settings.dashboard.enabled else None
        news = [_news(event, meanings, pages) for event in events]
        values = {"news": news, "url": self._gateway.settings.gateway.public_url}
        mail = EmailMessage()
        mail["From"] = f"Pharmacy gateway <{self.sender}>"
        mail["To"] = address
        mail["Subject"] = _subject(news)
        mail["Date"] = format_datetime(events[-1].occurred_at)
        domain = self.sender.rpartition("@")[2]
        mail["Message-ID"] = f"<{events[0].id}.{len(events)}.{recipient_id}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        # Plain text isn't escaped; the template has no markup.
        text = self._environment.overlay(autoescape=False).get_template("news.txt")
        mail.set_content(text.render(values))
        page = self._environment.get_template("news.html").render(values)
        mail.add_alternative(page, subtype="html")
        return mail


def _news(event: Event, meanings: Mapping[str, str], pages: str | None) -> News:
    at = f"{event.occurred_at:%Y-%m-%d %H:%M} UTC"
    if event.type in {NEEDED, OVER}:
        data = event.data
        page = data.get("page")
        return News(
            str(data["text"]),
            at,
            data.get("command"),
            link=f"{pages}{page}" if pages and page else None,
            is_over=event.type == OVER,
        )
    if event.type == TEST:
        return News("This is a test. Mails of the gateway arrive here.", at)
    name = f" ({event.subject})" if event.subject else ""
    return News(f"{event.type}: {meanings.get(event.type, 'It happened.')}{name}", at)


def _subject(news: Sequence[News]) -> str:
    first = news[0]
    text = f"Over: {first.text}" if first.is_over else first.text
    more = f" (and {len(news) - 1} more)" if len(news) > 1 else ""
    room = _MAX_SUBJECT - len(more)
    text = " ".join(text.split())  # a name with a line break must not end the header
    return (text if len(text) <= room else text[: room - 1] + "…") + more
