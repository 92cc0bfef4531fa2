"""What needs a person: prescriptions that wait too long for review, or for the agent.

They are counted by site, without unsealing them. The agent has a line in ``gateway status``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, func, select

from gateway.plugin import (
    AsyncConnection,
    AttentionDetail,
    AttentionItem,
    AttentionSource,
    Caller,
    Gateway,
    HealthCheck,
    HealthReport,
    from_epoch_ms,
    timestamp,
    to_epoch_ms,
    visible_to,
)
from gateway_rx_queue.events import _
from gateway_rx_queue.pages.words import REASON_WORDS
from gateway_rx_queue.schema import State
from gateway_rx_queue.settings import AGENT, RxQueueSettings
from gateway_rx_queue.store import JobStore
from gateway_rx_queue.tables import JOBS, rx_history, rx_jobs

PERMISSION: Final = "rx.read"
AGENT_SILENT_AFTER: Final = timedelta(minutes=15)
_QUEUED_COMMAND: Final = "gateway rx list --status queued"
# The number of changes that are searched for the last lease, because leases have no index.
_RECENT_CHANGES: Final = 1000
# Up to this number of prescriptions their reasons are counted; for more, none are shown.
_MOST_OPENED: Final = 20
_MOST_KEPT: Final = 500
_MOST_REASONS: Final = 3
_NO_REASONS: Final[Counter[str]] = Counter()


# The sentences of the check of agents: without a recent lease, and with one.
_IDLE: Final = (
    _("no agent leased lately; nothing waits for one"),
    _("an agent leased {leased}; nothing waits for one"),
)
_ONE_WAITS: Final = (
    _(
        "1 prescription waits for the agent since {since}; no agent leased lately: see that its "
        "program runs and reaches the gateway"
    ),
    _(
        "1 prescription waits for the agent since {since}; an agent leased {leased}: see that its "
        "program runs and reaches the gateway"
    ),
)
_SEVERAL_WAIT: Final = (
    _(
        "{count} prescriptions wait for the agent since {since}; no agent leased lately: see that "
        "its program runs and reaches the gateway"
    ),
    _(
        "{count} prescriptions wait for the agent since {since}; an agent leased {leased}: see "
        "that its program runs and reaches the gateway"
    ),
)


class _Wait(NamedTuple):
    """One kind of wait and its texts: ``messages`` for one prescription and for several."""

    kind: str
    state: State
    command: str
    page: str
    button: str
    messages: tuple[str, str]


_FOR_REVIEW: Final = _Wait(
    kind="rx_review",
    state="excepted",
    command="gateway rx list --status excepted",
    page="review",
    button=_("Review them"),
    messages=(
        _("1 prescription has waited for review for over {minutes} minutes."),
        _("{count} prescriptions have waited for review for over {minutes} minutes."),
    ),
)
_FOR_THE_AGENT: Final = _Wait(
    kind="rx_agent",
    state="queued",
    command=_QUEUED_COMMAND,
    page="queue?state=queued",
    button=_("See the queue"),
    messages=(
        _("1 prescription waits for the agent: see that its program runs and reaches the gateway."),
        _(
            "{count} prescriptions wait for the agent: see that its program runs and reaches the "
            "gateway."
        ),
    ),
)


class Reminders:
    """The attention sources of the queue."""

    def __init__(self, gateway: Gateway, settings: RxQueueSettings, store: JobStore) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._opened: dict[str, tuple[int, str | None, frozenset[str]]] = {}

    def sources(self) -> Sequence[AttentionSource]:
        """Return the sources; that of the agent only if the writer is an agent."""
        review = AttentionSource("rx-review", PERMISSION, self.review)
        if self._settings.writer != AGENT:
            return [review]
        return [review, AttentionSource("rx-agent", PERMISSION, self.agent)]

    def checks(self) -> Sequence[HealthCheck]:
        """Return the check of the agents, if the writer is an agent."""
        if self._settings.writer != AGENT:
            return []
        return [HealthCheck("rx-agents", self.agents_health, decides_readiness=False)]

    async def agents_health(self) -> HealthReport:
        """Report when an agent leased last, and whether prescriptions wait for one."""
        due_ms = rx_jobs.c.due_at_ms
        before_ms = to_epoch_ms(self._gateway.clock.now() - AGENT_SILENT_AFTER)
        waiting = select(func.count(), func.min(due_ms)).where(
            JOBS.is_state("queued"), due_ms <= before_ms
        )
        newest = select(func.max(rx_history.c.sequence)).scalar_subquery()
        last_lease = (
            select(rx_history.c.at_ms)
            .where(
                rx_history.c.sequence > newest - _RECENT_CHANGES,
                rx_history.c.to_state == "writing",
            )
            .order_by(rx_history.c.sequence.desc())
            .limit(1)
        )
        async with self._gateway.database.read() as connection:
            count, oldest_ms = (await connection.execute(waiting)).one()
            leased_ms = (await connection.execute(last_lease)).scalar()
        messages = _IDLE if not count else _ONE_WAITS if count == 1 else _SEVERAL_WAIT
        message = messages[leased_ms is not None]
        times = {"leased": leased_ms, "since": oldest_ms}
        known = {name: from_epoch_ms(at) for name, at in times.items() if at is not None}
        shown = {name: timestamp(at) for name, at in known.items()}
        return HealthReport(
            healthy=not count,
            detail=message.format(count=count, **shown),
            command=_QUEUED_COMMAND if count else None,
            message=message,
            values={"count": count, **known},
        )

    async def review(self, caller: Caller) -> Sequence[AttentionItem]:
        """Count the prescriptions that wait for a reviewer longer than ``remind_minutes``."""
        longer_than = timedelta(minutes=self._settings.remind_minutes)
        return await self._waiting(caller, _FOR_REVIEW, longer_than)

    async def agent(self, caller: Caller) -> Sequence[AttentionItem]:
        """Count the prescriptions that no agent leased for a quarter of an hour."""
        return await self._waiting(caller, _FOR_THE_AGENT, AGENT_SILENT_AFTER)

    async def _waiting(
        self, caller: Caller, wait: _Wait, longer_than: timedelta
    ) -> Sequence[AttentionItem]:
        before_ms = to_epoch_ms(self._gateway.clock.now() - longer_than)
        minutes = f"{longer_than.total_seconds() / 60:g}"
        since = rx_jobs.c.due_at_ms if wait.state == "queued" else rx_jobs.c.state_at_ms
        found = [*visible_to(caller, rx_jobs), rx_jobs.c.state == wait.state, since <= before_ms]
        query = (
            select(rx_jobs.c.site, func.count(), func.min(since))
            .where(*found)
            .group_by(rx_jobs.c.site)
        )
        async with self._gateway.database.read() as connection:
            rows = list(await connection.execute(query))
            reasons = await self._reasons(connection, found) if wait is _FOR_REVIEW and rows else {}
        return [
            AttentionItem(
                wait.kind,
                site or "all",
                wait.messages[count != 1].format(count=count, minutes=minutes),
                from_epoch_ms(oldest_ms),
                site,
                wait.command,
                page=wait.page,
                button=wait.button,
                count=count,
                message=wait.messages[count != 1],
                values={"count": str(count), "minutes": minutes},
                details=[
                    AttentionDetail(words, count=number)
                    for words, number in reasons.get(site, _NO_REASONS).most_common(_MOST_REASONS)
                ],
            )
            for site, count, oldest_ms in rows
        ]

    async def _reasons(
        self, connection: AsyncConnection, found: Sequence[ColumnElement[bool]]
    ) -> Mapping[str | None, Counter[str]]:
        """Return the count of each reason among a site's prescriptions, if they are few.

        They are in the sealed content, which is unsealed again only when the list changes.
        """
        few = select(rx_jobs.c.id, rx_jobs.c.version).where(*found).limit(_MOST_OPENED + 1)
        listed = {row.id: row.version for row in await connection.execute(few)}
        if len(listed) > _MOST_OPENED:
            return {}
        missing = [each for each in listed if self._opened.get(each, (None,))[0] != listed[each]]
        if missing:
            for row in await connection.execute(select(rx_jobs).where(rx_jobs.c.id.in_(missing))):
                job = self._store.job(row)
                found_words = frozenset(_words_of(each.code) for each in job.content.reasons)
                self._opened[job.id] = (job.version, job.site, found_words)
        by_site: dict[str | None, Counter[str]] = {}
        for job_id in listed:
            if job_id in self._opened:
                _version, site, words = self._opened[job_id]
                by_site.setdefault(site, Counter()).update(words)
        while len(self._opened) > _MOST_KEPT:
            self._opened.pop(next(iter(self._opened)))
        return by_site


def _words_of(code: str) -> str:
    """Return the words of a reason, for the catalog; a code of another plugin's as it reads."""
    known = REASON_WORDS.get(code)
    return code.replace("_", " ") if known is None else known.short
