"""The reference agent: leases jobs over HTTP and runs a command for each, with JSON on stdin.

The command reads one JSON object (``queueId``, ``idempotency_token``, ``attempt``, ``site``,
``prescription``) and reports its outcome:

- exit 0 with nothing on stdout: completed; with a JSON object there: its outcome (``{"outcome":
  "completed", "din": "…"}``);
- exit 75 (``EX_TEMPFAIL`` of sysexits.h), or anything else: retry.

Its stderr goes to the agent's stderr: it must not name patients.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.plugin import (
    Clock,
    InvalidInput,
    NotAuthenticated,
    OutboundClient,
    OutboundRequest,
    OutboundResponse,
    Unavailable,
    decode,
    encode,
    on_termination,
)
from gateway_rx_queue.mapping import is_drug_number
from gateway_rx_queue.schema import LeasedOut, LeaseOut, OutcomeIn, ReportedOut

_log = logging.getLogger(__name__)

_WAIT_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 15.0
_KEPT_BYTES: Final = 4_000_000
_MOST_OUTPUT_BYTES: Final = 65_536
_MOST_PAUSE_SECONDS: Final = 30.0
# A command has to end this long before its lease, so that its report comes in time.
_MARGIN_SECONDS: Final = 2.0
_UNAUTHORIZED: Final = frozenset({401, 403})
_CONFLICT: Final = frozenset({404, 409})
_OK: Final = 200


class AgentSettings(NamedTuple):
    """The gateway's address, the API key, the command, and how many run at a time."""

    url: str
    key: str
    command: Sequence[str]
    slots: int = 1
    lease_seconds: float | None = None


class Agent:
    """Leases jobs while a slot is free, until it is stopped."""

    def __init__(self, settings: AgentSettings, client: OutboundClient, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.done = 0
        """The number of reported jobs."""

    def stop(self) -> None:
        """Lease no more jobs; running ones are finished and reported."""
        self._stopping.set()

    async def run(self, *, once: bool = False) -> None:
        """Work until stopped; with ``once``, until no job is due.

        Raises ``NotAuthenticated`` when the gateway doesn't know the key, ``InvalidInput``
        when it refuses the request.
        """
        failures = 0
        try:
            while not self._stopping.is_set():
                room = self._settings.slots - len(self._running)
                if room == 0:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                    continue
                try:
                    jobs = await self._lease(room, 0.0 if once else _WAIT_SECONDS)
                except Unavailable as error:
                    failures += 1
                    _log.warning("%s", error.message)
                    await self._pause(failures)
                    continue
                failures = 0
                for job in jobs:
                    task = asyncio.create_task(self._carry_out(job))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                if once and not jobs:
                    if not self._running:
                        return
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._running:
                await asyncio.wait(self._running)

    async def _lease(self, room: int, wait_seconds: float) -> list[LeasedOut]:
        asked: dict[str, Any] = {"max": min(room, 100), "wait_seconds": wait_seconds}
        if self._settings.lease_seconds is not None:
            asked["lease_seconds"] = self._settings.lease_seconds
        asking = asyncio.ensure_future(
            self._ask("/api/rx/lease", asked, wait_seconds + _ANSWER_SECONDS)
        )
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return []
            answer = asking.result()
        finally:
            for task in (asking, stopping):
                task.cancel()
        _check(answer)
        return decode(answer.body, LeaseOut).jobs

    async def _carry_out(self, job: LeasedOut) -> None:
        # By the time since receipt: this machine's clock may be minutes off.
        ends_at = self._clock.monotonic_seconds() + job.lease_seconds
        outcome = await self._outcome(job, max(job.lease_seconds - _MARGIN_SECONDS, 1.0))
        body = {"lease_token": job.lease_token, **outcome}
        failures = 0
        # At least once, also after the lease: the gateway has to know what was written.
        while failures == 0 or self._clock.monotonic_seconds() < ends_at:
            answer = await self._ask(f"/api/rx/{job.queueId}/result", body, _ANSWER_SECONDS)
            if answer.status == _OK:
                self.done += 1
                _log.info("%s %s", job.queueId, outcome["outcome"])
                _warn_of_recall(job, outcome, answer.body)
                return
            if answer.status in _CONFLICT:
                break
            failures += 1
            _log.warning("%s: no answer to the report, retrying", job.queueId)
            await asyncio.sleep(min(failures, _MOST_PAUSE_SECONDS))
        _log.warning("%s is no longer ours; it is leased again if necessary", job.queueId)

    async def _outcome(self, job: LeasedOut, timeout_seconds: float) -> dict[str, Any]:
        job_input = {
            "queueId": job.queueId,
            "idempotency_token": job.idempotency_token,
            "attempt": job.attempt,
            "site": job.site,
            "prescription": job.prescription,
            **({"catalog_name": job.catalog_name} if job.catalog_name else {}),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *self._settings.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            _log.error("the command can't be run (%s): see --command", type(error).__name__)
            return {"outcome": "retry", "reason": "command_not_run"}
        try:
            async with asyncio.timeout(timeout_seconds):
                output, _ = await process.communicate(encode(job_input) + b"\n")
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return {"outcome": "retry", "reason": "command_timed_out"}
        return outcome_of_command(process.returncode or 0, output)

    async def _ask(self, path: str, body: Any, timeout_seconds: float) -> OutboundResponse:
        return await self._client.send(
            OutboundRequest(
                url=self._settings.url.rstrip("/") + path,
                body=encode(body),
                headers={"X-API-Key": self._settings.key, "Content-Type": "application/json"},
                timeout_seconds=timeout_seconds,
                keep_bytes=_KEPT_BYTES,
            )
        )

    async def _pause(self, failures: int) -> None:
        longest = min(2.0**failures, _MOST_PAUSE_SECONDS)
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - so that agents don't come all at once
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()


def _warn_of_recall(job: LeasedOut, outcome: Mapping[str, Any], answer: bytes) -> None:
    """Log that a prescription was taken back while its command ran."""
    try:
        recalled = decode(answer, ReportedOut).recalled
    except InvalidInput:  # an older gateway's answer
        return
    if recalled and outcome["outcome"] == "completed":
        _log.error("%s was recalled: remove it from the pharmacy system", job.queueId)
    elif recalled:
        _log.warning("%s was recalled and not written", job.queueId)


def outcome_of_command(exit_code: int, output: bytes) -> dict[str, Any]:
    """Return the report of a finished command."""
    if exit_code != 0:
        return {"outcome": "retry", "reason": f"command_exit_{abs(exit_code)}"}
    said = output.strip()
    if not said:
        return {"outcome": "completed"}
    if len(said) > _MOST_OUTPUT_BYTES:
        return {"outcome": "retry", "reason": "command_said_too_much"}
    try:
        decode(said, OutcomeIn)
        read: dict[str, Any] = decode(said, dict[str, Any])
    except InvalidInput:
        return {"outcome": "retry", "reason": "command_said_nonsense"}
    if read.get("din") and not is_drug_number(read["din"]):
        # It is written, so the report is completed, without the invalid DIN.
        _log.error("the command's din is not eight digits; the report goes without it")
        del read["din"]
    return read


def _check(answer: OutboundResponse) -> None:
    """Raise the error of a response without jobs."""
    if answer.error is not None:
        text = f"The gateway can't be reached ({answer.error}); retrying."
        raise Unavailable(text)
    if answer.status in _UNAUTHORIZED:
        text = "The gateway doesn't take this key: see that it is in full, and not revoked."
        raise NotAuthenticated(text)
    if answer.status == _OK:
        if answer.cut:
            raise InvalidInput("The gateway's answer is too long; take fewer jobs with --slots.")
        return
    if answer.status is not None and answer.status < 500 and answer.status != 429:  # noqa: PLR2004 - a server's trouble, and too many requests, pass
        raise InvalidInput(
            f"The gateway refused the lease (status {answer.status}): see that its "
            'plugin rx_queue has writer = "agent".'
        )
    raise Unavailable(f"The gateway answered {answer.status}; retrying.")


async def carry_out(agent: Agent, *, once: bool) -> None:
    """Run an agent until it is interrupted or terminated; running commands are finished."""
    with on_termination(agent.stop):
        await agent.run(once=once)
