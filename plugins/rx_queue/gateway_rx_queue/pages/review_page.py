"""The page Review: the pending list, the desk of one prescription, and the decisions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from litestar import Response

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Action,
    Badge,
    Caller,
    Conflict,
    FileFilter,
    InvalidInput,
    NotFound,
    Page,
    PageRequest,
    Problem,
    SeeOther,
    StoredFile,
    Template,
    day_at,
    file_response,
    from_epoch_ms,
    to_epoch_ms,
)
from gateway_rx_queue.changes import Shown
from gateway_rx_queue.drafts import Draft
from gateway_rx_queue.evidence import EvidenceOut
from gateway_rx_queue.job import Job
from gateway_rx_queue.mapping import HistoryRow
from gateway_rx_queue.model import Patient, Reason
from gateway_rx_queue.pages.desk import (
    draft_of,
    looked_at,
    questions_of,
    rows_of,
    unanswered,
)
from gateway_rx_queue.pages.fields import corrections_of
from gateway_rx_queue.pages.words import (
    RULE_WORDS,
    SOURCE_WORDS,
    STATE_WORDS,
    happened,
    name_of,
    said,
    short_of,
)
from gateway_rx_queue.review import NewReasons, Resolution, Reviewer
from gateway_rx_queue.service import RxService
from gateway_rx_queue.store import JobFilter

_LISTED: Final = 40
_MOST_FILES: Final = 20
_FILES: Final = "files.rx"
_REVIEW: Final = "rx.review"
_CLEAR: Final = (_REVIEW, REVEAL_RX)
_MOST_DIGITS: Final = 9
# Rules that compare the text with the DIN's entry: without a DIN they can't find anything.
_OF_A_NUMBER: Final = frozenset({"drug_name", "strength", "quantity_unit"})


class MoreToAnswer(Conflict):
    """The corrections raise questions of their own: ``reasons``."""

    def __init__(self, message: str, reasons: tuple[Reason, ...]) -> None:
        super().__init__(message)
        self.reasons = reasons


class Claim(NamedTuple):
    """The holder of a prescription and the end of the claim; ``is_mine``: the reader holds it."""

    name: str
    until: datetime
    is_mine: bool


class Waiting(NamedTuple):
    """A prescription in the list."""

    id: str
    first: str
    initial: str
    short: str
    at: datetime
    claim: Claim | None
    is_shown: bool
    state: tuple[str, str, str]


class Happened(NamedTuple):
    """An entry of the history."""

    state: str
    words: str
    by: str
    at: datetime


class ReviewPages:
    """The handlers; each calls what the API calls."""

    def __init__(self, queue: RxService) -> None:
        self._queue = queue

    def pages(self) -> list[Page]:
        """Return the page, the desk, the form of a rejection, and the fax pages."""
        return [
            Page(
                path="review",
                title="Review",
                section="prescriptions",
                order=10,
                icon="i-review",
                permission=_REVIEW,
                handler=self._list,
                badge=self._badge,
                bottom=True,
                actions=(Action(path="next", permission=_REVIEW, handler=self._next),),
            ),
            Page(
                path="review/{queue_id}",
                title="Review",
                parent="review",
                permission=_REVIEW,
                handler=self._show,
                actions=(
                    Action(path="claim", permission=_REVIEW, handler=self._claim),
                    Action(path="release", permission=_REVIEW, handler=self._release),
                    Action(path="draft", permission=_CLEAR, handler=self._keep),
                    Action(
                        path="reveal",
                        permission=(_REVIEW, REVEAL_CONTACT),
                        handler=self._reveal,
                        limit="reveals",
                    ),
                    Action(path="approve", permission=_CLEAR, handler=self._approve),
                ),
            ),
            Page(
                path="review/{queue_id}/reject",
                title="Reject",
                parent="review",
                permission=_REVIEW,
                handler=self._ask_to_reject,
                actions=(Action(path="", permission=_REVIEW, handler=self._reject),),
            ),
            Page(
                path="review/{queue_id}/files/{file_id}",
                title="Page of the fax",
                parent="review",
                permission=(_REVIEW, _FILES),
                handler=self._file,
            ),
        ]

    async def _badge(self, caller: Caller) -> Badge | None:
        count = await self._queue.overview.waiting(caller)
        return Badge(count, "waiting for review", "warn") if count else None

    async def _list(self, request: PageRequest) -> Template:
        context = await self._listed(request, None)
        return Template("rx_queue/review.html", context)

    async def _listed(self, request: PageRequest, shown: str | None) -> dict[str, Any]:
        """Return the list beside the desk: pending prescriptions, or those decided today."""
        queue, caller = self._queue, request.caller
        is_decided = request.query.get("view") == "decided"
        zone = queue.gateway.sites.zone(caller.account_id, caller.site)
        since = day_at(zone, request.now).starts_at
        decided, decided_count = await queue.overview.decided(caller, since, _LISTED)
        count = await queue.overview.waiting(caller)
        jobs = decided
        if is_decided:
            await queue.note_list(caller, decided)
        else:
            wanted = JobFilter(_LISTED, status="excepted", site=request.site)
            jobs = await queue.listed(caller, wanted)
        rows = [self._waiting(request, each, shown) for each in jobs]
        place = next((n for n, each in enumerate(rows, 1) if each.is_shown), None)
        return {
            "rows": rows,
            "is_decided": is_decided,
            "waiting_count": count,
            "decided_count": decided_count,
            "place": place,
            "free": any(each.claim is None or each.claim.is_mine for each in rows),
        }

    def _waiting(self, request: PageRequest, job: Job, shown: str | None) -> Waiting:
        patient = job.content.prescription.patient
        first, initial = masked_name(patient)
        glyph, kind, words = STATE_WORDS[job.state]
        return Waiting(
            id=job.id,
            first=first,
            initial=initial,
            short=short_of(job.content.reasons, request.text),
            at=from_epoch_ms(job.created_at_ms),
            claim=self._claim_of(request, job),
            is_shown=job.id == shown,
            state=(glyph, request.text(words), kind),
        )

    def _claim_of(self, request: PageRequest, job: Job) -> Claim | None:
        until = job.claimed_until_ms
        if until is None or until <= to_epoch_ms(request.now) or job.claimed_by is None:
            return None
        is_mine = job.claimed_by == Reviewer(request.caller).actor
        name = name_of(job.claimed_by, request.person.id, request.text)
        return Claim(name, from_epoch_ms(until), is_mine)

    async def _show(self, request: PageRequest) -> Template:
        queue, caller = self._queue, request.caller
        queue_id = request.path["queue_id"]
        is_revealed = await self._is_revealed(request)
        groups: list[Shown] = []
        if is_revealed:
            groups.append("identity")
        if caller.may(REVEAL_RX):
            groups.append("rx")
        job, history, linked = await queue.show(caller, queue_id, tuple(groups))
        claim = self._claim_of(request, job)
        names = await names_among(queue, caller, [each.actor for each in history])
        context = await self._listed(request, queue_id)
        context |= {
            "job": job,
            "claim": claim,
            "is_mine": claim is not None and claim.is_mine,
            "is_over": job.state != "excepted",
            "is_revealed": is_revealed,
            "may_reveal": caller.may(REVEAL_CONTACT) and not job.purged,
            "seen_token": request.query.get("seen"),
            "patient": job.content.prescription.patient,
            "masked": masked_name(job.content.prescription.patient),
            "source": request.text(SOURCE_WORDS.get(job.source, job.source)),
            "came_at": from_epoch_ms(job.created_at_ms),
            "linked": linked,
            "state": _state(job, request),
            "history": history_of(history, request, names),
            "sees_rx": caller.may(REVEAL_RX),
        }
        if context["is_over"] or not caller.may(REVEAL_RX):
            return Template("rx_queue/review_over.html", context)
        context |= await self._desk(request, job, is_revealed=is_revealed)
        return Template("rx_queue/review_one.html", context)

    async def _desk(self, request: PageRequest, job: Job, *, is_revealed: bool) -> dict[str, Any]:
        draft = await self._draft(request, job)
        evidence = await self._queue.evidence.of(job)
        problem = request.problem
        new = problem.reasons if isinstance(problem, MoreToAnswer) else ()
        questions = questions_of(job, draft, evidence, request.text, new)
        asked = {each.field.name for question in questions for each in question.inputs}
        least = self._queue.settings.thresholds(job.site).min_confidence
        parts = ["medication", "prescriber", *(["patient"] if is_revealed else [])]
        return {
            "note": draft.note,
            "questions": questions,
            "answered": len(questions) - len(unanswered(questions)),
            "parts": rows_of(job, draft, asked, least, parts),
            "least": least,
            "evidence": evidence,
            "files": await self._files(request.caller, job.id),
            "look": looked_at(request.query.get("look")),
            "checks": checks_of(job, request),
        }

    async def _draft(self, request: PageRequest, job: Job) -> Draft:
        if request.problem is not None and "version" in request.given:
            return draft_of(request.given, job.content.prescription)
        return await self._queue.review.draft(Reviewer(request.caller), job.id)

    async def _is_revealed(self, request: PageRequest) -> bool:
        if not request.caller.may(REVEAL_CONTACT):
            return False
        found = await request.recall(request.query.get("seen"))
        return found == _revealed(request.path["queue_id"])

    async def _files(self, caller: Caller, queue_id: str) -> list[StoredFile]:
        if not caller.may(_FILES):
            return []
        found = await self._queue.gateway.files.page(
            caller, FileFilter(_MOST_FILES, subject=queue_id)
        )
        return [*reversed(found)]

    async def _next(self, request: PageRequest) -> SeeOther:
        return await self._onward(request, "")

    async def _onward(self, request: PageRequest, toast: str) -> SeeOther:
        """Claim the next prescription, and redirect to it."""
        job = await self._queue.review.claim_next(Reviewer(request.caller))
        if job is None:
            return SeeOther("review", toast=toast or request.text("Nothing is free to review."))
        return SeeOther(f"review/{job.id}", toast=toast)

    async def _claim(self, request: PageRequest) -> SeeOther:
        job = await self._in_review(request)
        await self._queue.review.claim(Reviewer(request.caller), job.id)
        return SeeOther(_place(request))

    async def _in_review(self, request: PageRequest) -> Job:
        """Return the job; raises ``Conflict`` when it was decided meanwhile."""
        job = await self._queue.get(request.caller, request.path["queue_id"])
        if job.state != "excepted":
            raise Conflict(request.text("It was decided or taken out meanwhile."))
        return job

    async def _release(self, request: PageRequest) -> SeeOther:
        """Release the prescription; the typed input is kept for this reviewer."""
        await self._keep_typed(request)
        await self._queue.review.release(Reviewer(request.caller), request.path["queue_id"])
        return SeeOther("review", toast=request.text("Released. What you typed is kept."))

    async def _keep(self, request: PageRequest) -> SeeOther | Response[None]:
        await self._keep_typed(request)
        if request.region:  # the script keeps it while one types
            return Response(None, status_code=HTTPStatus.NO_CONTENT)
        form = await request.form()
        return SeeOther(_place(request, look=form.get("look"), seen=form.get("seen_token")))

    async def _keep_typed(self, request: PageRequest) -> Job:
        job = await self._in_review(request)
        form = await request.form()
        if "version" in form:
            draft = draft_of(form, job.content.prescription)
            undone = form.get("undo")
            if undone:
                fields = {name: each for name, each in draft.fields.items() if name != undone}
                draft = Draft(fields=fields, note=draft.note, seen=draft.seen)
            await self._queue.review.keep_draft(Reviewer(request.caller), job.id, draft)
        return job

    async def _reveal(self, request: PageRequest) -> SeeOther:
        """Show the patient for a quarter of an hour; each showing is in the access log."""
        job = await self._queue.get(request.caller, request.path["queue_id"])
        if self._held_by_me(request, job):
            await self._keep_typed(request)
        token = await request.remember(_revealed(job.id))
        return SeeOther(_place(request, seen=token))

    def _held_by_me(self, request: PageRequest, job: Job) -> bool:
        claim = self._claim_of(request, job)
        return job.state == "excepted" and claim is not None and claim.is_mine

    async def _approve(self, request: PageRequest) -> SeeOther:
        queue, reviewer = self._queue, Reviewer(request.caller)
        job = await self._in_review(request)
        form = await request.form()
        prescription = job.content.prescription
        draft = draft_of(form, prescription)
        corrections = corrections_of(prescription, draft.fields)
        nothing = EvidenceOut(candidates=(), fills=())
        left = unanswered(questions_of(job, draft, nothing, request.text))
        if left:
            details = [Problem(each.question, field=each.key) for each in left]
            raise InvalidInput(request.text("Answer every question first."), details)
        version = form.get("version")
        if not (version.isdecimal() and len(version) <= _MOST_DIGITS):
            raise InvalidInput(request.text("Open the prescription again."))
        resolution = Resolution(corrections, draft.note or None, int(version), draft.confirm)
        try:
            await queue.review.resolve(reviewer, job.id, resolution)
        except NewReasons as error:
            message = request.text("Your corrections raise new questions: answer them below.")
            raise MoreToAnswer(message, error.reasons) from None
        return await self._onward(request, request.text("Approved. It goes to the writer."))

    async def _ask_to_reject(self, request: PageRequest) -> Template:
        job = await self._queue.get(request.caller, request.path["queue_id"])
        return Template(
            "rx_queue/review_reject.html", {"id": job.id, "masked": masked_patient(job)}
        )

    async def _reject(self, request: PageRequest) -> SeeOther:
        reason = (await request.form()).get("reason").strip()
        if not reason:
            message = request.text("Say why: the reason is kept with the prescription.")
            raise InvalidInput(message, [Problem(message, field="reason")])
        job = await self._in_review(request)
        await self._queue.review.reject(Reviewer(request.caller), job.id, reason[:2000])
        return await self._onward(request, request.text("Rejected. It will not be written."))

    async def _file(self, request: PageRequest) -> Any:
        job = await self._queue.get(request.caller, request.path["queue_id"])
        found = await self._files(request.caller, job.id)
        file = next((each for each in found if each.id == request.path["file_id"]), None)
        if file is None:
            raise NotFound("There is no such file.")
        answer = await file_response(self._queue.gateway.files, file, request.caller)
        answer.headers["Content-Disposition"] = "inline"
        return answer


def _place(request: PageRequest, **query: str) -> str:
    asked = urlencode({name: value for name, value in query.items() if value})
    return f"review/{request.path['queue_id']}" + (f"?{asked}" if asked else "")


def _revealed(queue_id: str) -> str:
    return f"rx:{queue_id}"


def _state(job: Job, request: PageRequest) -> tuple[str, str, str]:
    glyph, kind, words = STATE_WORDS[job.state]
    return glyph, request.text(words), kind


def masked_name(patient: Patient) -> tuple[str, str]:
    """Return a patient's first name, and the initial of the last one: ``Ana``, ``S``."""
    return patient.first_name or "", (patient.last_name or "").strip()[:1]


def masked_patient(job: Job) -> tuple[str, str]:
    """Return a job's patient, masked."""
    return masked_name(job.content.prescription.patient)


async def names_among(queue: RxService, caller: Caller, actors: Iterable[str]) -> Mapping[str, str]:
    """Return the names of the keys and people that acted, by id."""
    ids = {each.partition("/")[0] for each in actors if each}
    gateway = queue.gateway
    async with gateway.database.read() as connection:
        return await gateway.accounts.names(connection, caller, ids)


def history_of(
    rows: list[HistoryRow], request: PageRequest, names: Mapping[str, str]
) -> list[Happened]:
    """Return the history of a job in words, latest first."""
    shown = []
    for row in reversed(rows):
        state, words = happened(row.why, request.text)
        by = name_of(row.actor, request.person.id, request.text, names)
        shown.append(Happened(state, words, by, from_epoch_ms(row.at_ms)))
    return shown


def checks_of(job: Job, request: PageRequest) -> dict[str, list[tuple[str, str]]]:
    """Return the checks without findings, and those that weren't possible."""
    text = request.text
    found: dict[str, list[tuple[str, str]]] = {"fine": [], "not_checked": []}
    has_number = job.content.prescription.medication.din is not None
    for each in job.content.reports:
        if each.result in found and (has_number or each.rule not in _OF_A_NUMBER):
            words = RULE_WORDS.get(each.rule)
            label = each.rule.replace("_", " ") if words is None else text(words)
            found[each.result].append((label, said(each.detail, text)))
    return found
