"""``gateway rx …``: review, the drug catalog and the agent."""

from typing import Any

import click
import msgspec

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Caller,
    InvalidInput,
    Problem,
    Session,
    command,
    decode,
    reveal_option,
)
from gateway_rx_queue import mapping
from gateway_rx_queue.drugs.command import load_drugs_command
from gateway_rx_queue.review import Resolution, Reviewer
from gateway_rx_queue.service import RxService
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobFilter
from gateway_rx_queue.writers.agent_command import agent_command

_COLUMNS = (
    "queueId",
    "status",
    "age_seconds",
    "site",
    "source",
    "reasons",
    "not_checked",
    "claimed_by",
)
_ACCOUNT = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account."
)
_TEST = click.option("--test", "test_mode", is_flag=True, help="Use test data, not live.")
_MOST_DIGITS = 9  # int() refuses thousands of digits
_ID = click.argument("queue_id", metavar="ID")


def rx_group(settings: RxQueueSettings) -> click.Group:
    """Return the group."""
    group = click.Group("rx", help="Prescriptions: list, review, write.")
    for each in (
        _list(settings),
        _show(settings),
        _claim(settings),
        _release(settings),
        _resolve(settings),
        _reject(settings),
        _recall(settings),
        load_drugs_command(),
        agent_command(),
    ):
        group.add_command(each)
    return group


def _list(settings: RxQueueSettings) -> click.Command:
    @command("list")
    @click.option("--status", help="Only these: excepted, queued, writing, failed …")
    @click.option("--site", help="Only this site's.")
    @click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
    @_ACCOUNT
    @_TEST
    async def list_jobs(
        session: Session,
        *,
        status: str | None,
        site: str | None,
        limit: int,
        account: str,
        test_mode: bool,
    ) -> None:
        """List jobs, newest first; with --status excepted, oldest first."""
        async with session.gateway() as gateway:
            queue = RxService(gateway, settings)
            wanted = JobFilter(limit, status=status, site=site)
            found = await queue.page(_caller(session, account, test_mode), wanted)
            now = gateway.clock.now()
        session.table(_COLUMNS, [_shown(mapping.job_out(job, now)) for job in found])

    return list_jobs


def _show(settings: RxQueueSettings) -> click.Command:
    @command("show")
    @_ID
    @_ACCOUNT
    @_TEST
    @reveal_option
    async def show(
        session: Session, *, queue_id: str, account: str, test_mode: bool, reveal: bool
    ) -> None:
        """Show one job with its prescription. The view is recorded in the audit trail."""
        async with session.gateway() as gateway:
            queue = RxService(gateway, settings)
            caller = _caller(session, account, test_mode, reveal=reveal)
            job, history, linked = await queue.show(caller, queue_id)
            now = gateway.clock.now()
        session.record(_shown(mapping.job_detail_out(job, history, linked, now, caller)))

    return show


def _claim(settings: RxQueueSettings) -> click.Command:
    @command("claim")
    @_ID
    @_ACCOUNT
    @_TEST
    async def claim(session: Session, *, queue_id: str, account: str, test_mode: bool) -> None:
        """Reserve a job for some minutes, so that no two people work on it."""
        async with session.gateway() as gateway:
            who = Reviewer(_caller(session, account, test_mode))
            job = await RxService(gateway, settings).review.claim(who, queue_id)
        session.record({"queueId": job.id, "status": job.state, "claimed_by": job.claimed_by})

    return claim


def _release(settings: RxQueueSettings) -> click.Command:
    @command("release")
    @_ID
    @_ACCOUNT
    @_TEST
    async def release(session: Session, *, queue_id: str, account: str, test_mode: bool) -> None:
        """Release a claimed job."""
        async with session.gateway() as gateway:
            who = Reviewer(_caller(session, account, test_mode))
            job = await RxService(gateway, settings).review.release(who, queue_id)
        session.record({"queueId": job.id, "status": job.state})

    return release


def _resolve(settings: RxQueueSettings) -> click.Command:
    @command("resolve")
    @_ID
    @click.option(
        "--set",
        "corrections",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Correct a field, as in medication.din=02242705; several times if needed.",
    )
    @click.option("--note", help="Why.")
    @click.option("--version", type=int, help="The version that you saw; refused when it changed.")
    @click.option(
        "--confirm",
        multiple=True,
        metavar="CODE",
        help="Accept a new reason that the corrections gave; several times if needed.",
    )
    @_ACCOUNT
    @_TEST
    async def resolve(  # noqa: PLR0913 - one for each option
        session: Session,
        *,
        queue_id: str,
        corrections: tuple[str, ...],
        note: str | None,
        version: int | None,
        confirm: tuple[str, ...],
        account: str,
        test_mode: bool,
    ) -> None:
        """Approve a job, with corrections; it is queued for writing, and resolved once written."""
        changes = dict(_correction(each) for each in corrections)
        resolution = Resolution(changes, note, version, confirm)
        async with session.gateway() as gateway:
            who = Reviewer(_caller(session, account, test_mode))
            job = await RxService(gateway, settings).review.resolve(who, queue_id, resolution)
        session.record({"queueId": job.id, "status": job.state})

    return resolve


def _reject(settings: RxQueueSettings) -> click.Command:
    @command("reject")
    @_ID
    @click.option("--reason", required=True, help="Why; it is stored here and not sent.")
    @_ACCOUNT
    @_TEST
    async def reject(
        session: Session,
        *,
        queue_id: str,
        reason: str,
        account: str,
        test_mode: bool,
    ) -> None:
        """Reject a job permanently; ``rx.failed`` says ``rejected_by_reviewer``."""
        async with session.gateway() as gateway:
            who = Reviewer(_caller(session, account, test_mode))
            job = await RxService(gateway, settings).review.reject(who, queue_id, reason)
        session.record({"queueId": job.id, "status": job.state})

    return reject


def _recall(settings: RxQueueSettings) -> click.Command:
    @command("recall")
    @_ID
    @click.option("--reason", help="Why; it is stored here and not sent.")
    @_ACCOUNT
    @_TEST
    async def recall(
        session: Session,
        *,
        queue_id: str,
        reason: str | None,
        account: str,
        test_mode: bool,
    ) -> None:
        """Withdraw a prescription: it is rejected, or flagged while it is being written."""
        async with session.gateway() as gateway:
            who = Reviewer(_caller(session, account, test_mode))
            job = await RxService(gateway, settings).review.recall(who, queue_id, reason)
        session.record({"queueId": job.id, "status": job.state, "recalled": True})

    return recall


def _correction(text: str) -> tuple[str, Any]:
    """Read ``field=value``; a value that is a JSON number is a number, otherwise text."""
    field, separator, value = text.partition("=")
    if not separator:
        problem = Problem("write it as medication.din=02242705", field="--set")
        raise InvalidInput("A correction has no value.", [problem])
    if value in {"null", "true", "false"}:
        return field, decode(value.encode(), Any)
    numeric = {"medication.days_supply", "medication.refills"}
    is_number = value.isdecimal() and len(value) <= _MOST_DIGITS
    return field, int(value) if field in numeric and is_number else value


def _caller(session: Session, account: str, test_mode: bool, *, reveal: bool = False) -> Caller:
    return session.caller(account, "test" if test_mode else "live", reveal=reveal)


def _shown(out: Any) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(out)
    return shown
