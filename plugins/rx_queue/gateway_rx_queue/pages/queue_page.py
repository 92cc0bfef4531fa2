"""The page Queue: prescriptions by state, the agents, and one prescription with its history."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Action,
    Page,
    PageRequest,
    SeeOther,
    Template,
    day_at,
    from_epoch_ms,
    to_epoch_ms,
)
from gateway_rx_queue.changes import Shown
from gateway_rx_queue.drafts import NO_DRAFT
from gateway_rx_queue.job import Job
from gateway_rx_queue.overview import StateCount
from gateway_rx_queue.pages.desk import Row, rows_of
from gateway_rx_queue.pages.fields import FIELDS
from gateway_rx_queue.pages.review_page import history_of, masked_name, names_among
from gateway_rx_queue.pages.words import (
    SOURCE_WORDS,
    STATE_WORDS,
    _,
    code_words,
    failure,
    happened,
    name_of,
    short_of,
)
from gateway_rx_queue.reminders import AGENT_SILENT_AFTER
from gateway_rx_queue.review import Reviewer
from gateway_rx_queue.schema import State
from gateway_rx_queue.service import RxService
from gateway_rx_queue.settings import AGENT
from gateway_rx_queue.store import JobFilter

_LISTED: Final = 50
_PERMISSION: Final = "rx.read"
VIEWS: Final[tuple[tuple[State, str], ...]] = (
    ("queued", _("Waiting")),
    ("writing", _("Being written")),
    ("excepted", _("For review")),
    ("failed", _("Failed")),
    ("completed", _("In the pharmacy system")),
    ("resolved", _("Reviewed, written")),
    ("rejected", _("Rejected")),
)
_NEWS: Final = frozenset({"another_din_written", "written_after_recall", "invalid_din_reported"})


class View(NamedTuple):
    """A tab: a state, its count (finished ones: today's), the oldest time."""

    state: State
    words: str
    number: str
    oldest_at: datetime | None
    is_shown: bool


class Line(NamedTuple):
    """A prescription in the table."""

    id: str
    first: str
    initial: str
    state: tuple[str, str, str]
    about: str
    source: str
    site: str | None
    attempts: int
    at: datetime
    ends_at: datetime | None


class QueuePages:
    """The handlers; each calls what the API calls."""

    def __init__(self, queue: RxService) -> None:
        self._queue = queue

    def pages(self) -> list[Page]:
        """Return the two pages."""
        return [
            Page(
                path="queue",
                title="Queue",
                section="prescriptions",
                order=20,
                icon="i-queue",
                permission=_PERMISSION,
                handler=self._list,
            ),
            Page(
                path="queue/{queue_id}",
                title="Prescription",
                parent="queue",
                permission=_PERMISSION,
                handler=self._show,
                actions=(
                    Action(path="retry", permission="rx.review", handler=self._retry),
                    Action(
                        path="reveal",
                        permission=(_PERMISSION, REVEAL_CONTACT),
                        handler=self._reveal,
                        limit="reveals",
                    ),
                ),
            ),
            Page(
                path="queue/{queue_id}/take-out",
                title="Take out",
                parent="queue",
                permission="rx.submit",
                handler=self._ask_to_take_out,
                actions=(Action(path="", permission="rx.submit", handler=self._take_out),),
            ),
        ]

    async def _list(self, request: PageRequest) -> Template:
        queue, caller = self._queue, request.caller
        zone = queue.gateway.sites.zone(caller.account_id, caller.site)
        counts = await queue.overview.counts(caller, day_at(zone, request.now).starts_at)
        by_state = {each.state: each for each in counts}
        shown = request.query.get("state")
        if shown not in by_state:
            shown = next((s for s, _words in VIEWS if by_state[s].number), VIEWS[0][0])
        cursor = request.query.get("cursor") or None
        wanted = JobFilter(_LISTED + 1, cursor, shown, request.site)
        jobs = await queue.listed(caller, wanted)
        holders = await queue.overview.holders(jobs[:_LISTED])
        names = await names_among(queue, caller, holders.values()) if holders else {}
        views = [_view(request, state, words, by_state[state], shown) for state, words in VIEWS]
        agents = await queue.agents.of(caller) if queue.settings.writer == AGENT else []
        context: dict[str, Any] = {
            "views": views,
            "shown": shown,
            "lines": [_line(request, each, holders, names) for each in jobs[:_LISTED]],
            "older": jobs[_LISTED - 1].id if len(jobs) > _LISTED else None,
            "is_first": cursor is None,
            "writer": queue.settings.writer,
            "has_agents": queue.settings.writer == AGENT,
            "agents": agents,
            "silent_before": request.now - AGENT_SILENT_AFTER,
        }
        return Template("rx_queue/queue.html", context)

    async def _show(self, request: PageRequest) -> Template:
        queue, caller = self._queue, request.caller
        found = await request.recall(request.query.get("seen"))
        is_revealed = caller.may(REVEAL_CONTACT) and found == _revealed(request)
        groups: list[Shown] = ["identity"] if is_revealed else []
        if caller.may(REVEAL_RX):
            groups.append("rx")
        job, history, linked = await queue.show(caller, request.path["queue_id"], tuple(groups))
        holders = await queue.overview.holders([job])
        acted = [*(each.actor for each in history), *holders.values(), job.approved_by or ""]
        names = await names_among(queue, caller, acted)
        content = job.content
        parts = ["medication", "prescriber", *(["patient"] if is_revealed else [])]
        rows: Mapping[str, list[Row]] = {}
        if caller.may(REVEAL_RX) and not job.purged:
            rows = rows_of(job, NO_DRAFT, (), 0.0, parts)
        text = request.text
        failed_for = content.failure_reason or ""
        context: dict[str, Any] = {
            "job": job,
            "line": _line(request, job, holders, names),
            "rows": rows,
            "is_revealed": is_revealed,
            "may_reveal": caller.may(REVEAL_CONTACT) and not job.purged,
            "sees_rx": caller.may(REVEAL_RX),
            "reasons": short_of(content.reasons, text) if job.state == "excepted" else "",
            "failed_for": failure(failed_for, text) if caller.may(REVEAL_RX) else "",
            "flags": [happened(each, text)[1] for each in content.flags if each in _NEWS],
            "confirmed": [
                code_words(code, text) for each in content.corrections for code in each.confirmed
            ],
            "corrections": _corrections(request, job) if caller.may(REVEAL_RX) else [],
            "holder": name_of(holders.get(job.id, ""), request.person.id, text, names),
            "approved_by": name_of(job.approved_by or "", request.person.id, text, names),
            "history": history_of(history, request, names),
            "linked": linked,
            "may_retry": caller.may("rx.review") and _may_retry(job, request),
            "may_take_out": caller.may("rx.submit")
            and job.state in {"queued", "excepted", "writing"}
            and job.recalled_at_ms is None,
        }
        return Template("rx_queue/prescription.html", context, panels=("prescription", job.id))

    async def _reveal(self, request: PageRequest) -> SeeOther:
        """Show the patient for a quarter of an hour; each showing is in the access log."""
        job = await self._queue.get(request.caller, request.path["queue_id"])
        token = await request.remember(_revealed(request))
        return SeeOther(f"queue/{job.id}?seen={token}")

    async def _retry(self, request: PageRequest) -> SeeOther:
        job = await self._queue.review.retry(Reviewer(request.caller), request.path["queue_id"])
        return SeeOther(f"queue/{job.id}", toast=request.text("It is tried again."))

    async def _ask_to_take_out(self, request: PageRequest) -> Template:
        job = await self._queue.get(request.caller, request.path["queue_id"])
        context = {
            "id": job.id,
            "masked": masked_name(job.content.prescription.patient),
            "is_written": job.state == "writing",
        }
        return Template("rx_queue/take_out.html", context)

    async def _take_out(self, request: PageRequest) -> SeeOther:
        reason = (await request.form()).get("reason").strip()[:2000] or None
        reviewer = Reviewer(request.caller)
        job = await self._queue.review.recall(reviewer, request.path["queue_id"], reason)
        toast = request.text("Taken out. It will not be written.")
        if job.state == "writing":
            toast = request.text("The agent learns of it; it may have written it already.")
        return SeeOther(f"queue/{job.id}", toast=toast)


def _revealed(request: PageRequest) -> str:
    return f"rx:{request.path['queue_id']}"


def _may_retry(job: Job, request: PageRequest) -> bool:
    if job.purged:
        return False
    waits = job.state == "queued" and job.due_at_ms > to_epoch_ms(request.now)
    return job.state == "failed" or waits


def _view(request: PageRequest, state: State, words: str, count: StateCount, shown: str) -> View:
    number = request.formats.number(count.number) + ("+" if count.has_more else "")
    return View(state, request.text(words), number, count.oldest_at, state == shown)


def _line(
    request: PageRequest, job: Job, holders: dict[str, str], names: Mapping[str, str]
) -> Line:
    text = request.text
    first, initial = masked_name(job.content.prescription.patient)
    glyph, kind, words = STATE_WORDS[job.state]
    about, ends_at = "", None
    if job.state == "writing":
        about = name_of(holders.get(job.id, ""), request.person.id, text, names)
        ends_at = None if job.lease_until_ms is None else from_epoch_ms(job.lease_until_ms)
    elif job.state == "queued" and job.due_at_ms > to_epoch_ms(request.now):
        ends_at = from_epoch_ms(job.due_at_ms)
    elif job.state == "excepted":
        about = short_of(job.content.reasons, text)
    elif job.state == "failed" and request.caller.may(REVEAL_RX):
        about = failure(job.content.failure_reason or "", text)
    return Line(
        id=job.id,
        first=first,
        initial=initial,
        state=(glyph, text(words), kind),
        about=about,
        source=text(SOURCE_WORDS.get(job.source, job.source)),
        site=job.site,
        attempts=job.attempts,
        at=from_epoch_ms(job.created_at_ms),
        ends_at=ends_at,
    )


def _corrections(request: PageRequest, job: Job) -> list[dict[str, Any]]:
    """Return the reviewers' changes, field by field, without a patient's own data."""
    found = []
    for each in job.content.corrections:
        names = [name for name in each.after if name in FIELDS and not name.startswith("patient.")]
        found.append(
            {
                "by": name_of(each.actor, request.person.id, request.text),
                "at": datetime.fromisoformat(each.at),
                "note": each.note or "",
                "fields": [
                    (FIELDS[name].label, each.before.get(name), each.after.get(name))
                    for name in names
                ],
            }
        )
    return found
