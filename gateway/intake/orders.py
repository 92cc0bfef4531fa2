"""Accept orders: review → deduplicate → package + event + deliveries, in one transaction.

Concurrent submissions share one transaction (:class:`~gateway.storage.batcher.Batcher`, a group
commit); each gets its response only after the commit.

* :meth:`Intake.accept` reviews each order alone, stores the new ones and returns a result per
  order;
* :meth:`Intake.rehearse` is the dry run: the same review, nothing stored;
* an ``Idempotency-Key`` is looked up and its response stored in the same transaction.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.plans import Allowance, Plans, log_usage
from gateway.clock import Clock, to_epoch_ms
from gateway.delivery.publisher import Publisher, Subscribed
from gateway.errors import Problem
from gateway.hooks import Hooks
from gateway.intake.sites import SiteDirectory
from gateway.model.account import Caller, Mode
from gateway.model.bag import references_of
from gateway.model.event import EventDraft, Published
from gateway.model.ids import new_ids
from gateway.model.order import Candidate, Order, check, routing_of
from gateway.model.plan import PlanRefusal
from gateway.model.submission import IntakeResult, OrderResult, Submission
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database
from gateway.storage.statements import KNOWN_AND_SUBSCRIBED
from gateway.storage.stores.destinations import subscriptions_of
from gateway.storage.stores.idempotency import (
    KeyedRequest,
    StoredResponse,
    keyed_request,
    split_replays,
    store_responses,
)
from gateway.storage.stores.packages import NewPackage, OrderKey, PackageStore, known_of
from gateway.storage.transaction import Transaction

_ANSWER_ENCODER = msgspec.json.Encoder()

# Larger transactions aren't faster, and delay the last order.
_ORDERS_PER_TRANSACTION: Final = 2000
_MOST_LOOKED_UP_TOGETHER: Final = 256


class _Reviewed(NamedTuple):
    """A reviewed submission: at each index an order to store, or the errors that refuse it."""

    submission: Submission
    orders: Sequence[Order | None]
    errors: Sequence[tuple[Problem, ...]]
    warnings: tuple[Problem, ...]
    request: KeyedRequest | None


class Intake:
    """Accepts orders. One per process."""

    def __init__(  # noqa: PLR0913 - the parts it asks, writes and notifies
        self,
        database: Database,
        packages: PackageStore,
        publisher: Publisher,
        hooks: Hooks,
        sites: SiteDirectory,
        clock: Clock,
        *,
        plans: Plans | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._packages = packages
        self._publisher = publisher
        self._hooks = hooks
        self._sites = sites
        self._clock = clock
        self._plans = plans or Plans({}, {}, clock)
        self._metrics = metrics or Metrics()
        self._batcher: Batcher[_Reviewed, IntakeResult] = Batcher(
            self._store,
            max_weight=_ORDERS_PER_TRANSACTION,
            weigh=lambda reviewed: len(reviewed.orders),
            observe=self._metrics.batches("intake"),
        )

    async def accept(self, submission: Submission) -> IntakeResult:
        """Accept a submission; each order is accepted or rejected alone.

        Raises ``Conflict`` while the first request with the same idempotency key is
        still running, ``IdempotencyKeyReused`` when it came with another body.
        """
        reviewed = self._review(submission)
        if reviewed.request is None and not any(reviewed.orders):
            given = answer(reviewed.errors, reviewed.warnings, {})
        else:
            self._database.commit_is_due()
            given = await self._batcher.submit(reviewed)
        if not given.replayed:
            self._metrics.orders_taken(submission.source, (each.status for each in given.results))
        return given

    async def rehearse(self, submission: Submission) -> IntakeResult:
        """Review a submission as :meth:`accept` would, and store nothing.

        An order that would be stored has the result ``created``, without a package id.
        """
        reviewed = self._review(submission)
        keys: dict[int, OrderKey] = {}
        for index, order in enumerate(reviewed.orders):
            key = None if order is None else self._order_key(submission, index, order)
            if key is not None:
                keys[index] = key
        async with self._database.read() as connection:
            known = await self._packages.known_orders(connection, set(keys.values()))
        met: set[OrderKey] = set()
        results: dict[int, OrderResult] = {}
        for index, order in enumerate(reviewed.orders):
            if order is None:
                continue
            key = keys.get(index)
            if key in known:
                results[index] = duplicate(index, order, *known[key])
            else:
                results[index] = OrderResult(index, "duplicate" if key in met else "created")
            if key is not None:
                met.add(key)
        return answer(reviewed.errors, reviewed.warnings, results)

    async def drained(self) -> None:
        """Wait until every submission is stored and answered."""
        await self._batcher.drained()

    def _review(self, submission: Submission) -> _Reviewed:
        caller = submission.caller
        kept: list[Order | None] = []
        errors: list[tuple[Problem, ...]] = []
        warnings: list[Problem] = []
        for index, candidate in enumerate(submission.candidates):
            order, faults, remarks = self._checked(caller, candidate)
            kept.append(None if faults else order)
            errors.append(faults)
            warnings.extend(at(index, remark) for remark in remarks)
        if self._hooks.review_orders_wanted:
            self._ask_plugins(kept, errors, warnings)
        request = keyed_request(caller, submission.idempotency)
        return _Reviewed(submission, kept, errors, tuple(warnings), request)

    def _ask_plugins(
        self,
        kept: list[Order | None],
        errors: list[tuple[Problem, ...]],
        warnings: list[Problem],
    ) -> None:
        passed = [(index, order) for index, order in enumerate(kept) if order is not None]
        reviews = self._hooks.review_orders([order for _, order in passed])
        for (index, _), review in zip(passed, reviews, strict=True):
            kept[index] = None if review.errors else review.order
            errors[index] = review.errors
            warnings.extend(at(index, remark) for remark in review.warnings)

    def _checked(
        self, caller: Caller, candidate: Candidate
    ) -> tuple[Order | None, tuple[Problem, ...], tuple[Problem, ...]]:
        if candidate.order is None or candidate.errors:
            return None, candidate.errors, candidate.warnings
        site, wrong_site = self._sites.resolve(caller, candidate.order.site)
        review = check(candidate.order, self._sites.country(caller.account_id, site))
        order = review.order
        if order is not None and order.site != site:
            order = msgspec.structs.replace(order, site=site)
        return order, review.errors + wrong_site, candidate.warnings + review.warnings

    async def _store(self, batch: Sequence[_Reviewed]) -> Sequence[IntakeResult | Exception]:
        try:
            return await self._store_once(batch)
        except IntegrityError:
            # Another process stored one of these orders, or a response under one of these keys,
            # after the look-up. Its transaction is committed: the second look-up finds it.
            return await self._store_once(batch)

    async def _store_once(self, batch: Sequence[_Reviewed]) -> Sequence[IntakeResult | Exception]:
        async def store(transaction: Transaction) -> tuple[dict[int, Any], Published]:
            return await self._stored(transaction, batch)

        answers, published = await self._database.transact(store)
        # In the next turn of the event loop, so that its deliveries start in the turn after that:
        # the callers get their responses first.
        asyncio.get_running_loop().call_soon(self._publisher.announce, published)
        log_usage(published.events)
        return [answers[place] for place in range(len(batch))]

    async def _stored(
        self, transaction: Transaction, batch: Sequence[_Reviewed]
    ) -> tuple[dict[int, IntakeResult | Exception], Published]:
        """Store a batch in one transaction; returns answers by place, and events to announce."""
        now = self._clock.now()
        requests = [reviewed.request for reviewed in batch]
        earlier, places = await split_replays(transaction, requests, now)
        answers: dict[int, IntakeResult | Exception] = {
            place: replayed(found) if isinstance(found, bytes) else found
            for place, found in earlier.items()
        }
        fresh = {place: batch[place] for place in places}
        created, refused, published = await self._create(transaction, fresh, now)
        given = {
            place: answer(reviewed.errors, reviewed.warnings, created[place], refused.get(place))
            for place, reviewed in fresh.items()
        }
        answers |= given
        responses = [
            StoredResponse(*reviewed.request, _ANSWER_ENCODER.encode(given[place]))
            for place, reviewed in fresh.items()
            if reviewed.request and not given[place].is_beyond_plan
        ]
        await store_responses(transaction, responses, now)
        return answers, published

    async def _create(
        self, connection: Transaction, fresh: Mapping[int, _Reviewed], now: datetime
    ) -> tuple[dict[int, dict[int, OrderResult]], dict[int, PlanRefusal], Published]:
        """Store the new orders; returns results by place in the batch, then by index.

        Also returns, by place, the plan limit that some orders exceed.
        """
        wanted = [
            (place, index, reviewed.submission, order)
            for place, reviewed in fresh.items()
            for index, order in enumerate(reviewed.orders)
            if order is not None
        ]
        keys = [self._order_key(submission, index, order) for _, index, submission, order in wanted]
        known, subscribed = await self._looked_up(connection, wanted, keys)
        now_ms = to_epoch_ms(now)
        ids = iter(sorted(new_ids("pkg", now_ms, len(wanted))))
        event_ids = iter(sorted(new_ids("evt", now_ms, len(wanted))))
        results: dict[int, dict[int, OrderResult]] = {place: {} for place in fresh}
        refused: dict[int, PlanRefusal] = {}
        allowances = await self._allowances(connection, wanted, now)
        new: list[NewPackage] = []
        drafts: list[EventDraft] = []
        for (place, index, submission, order), key in zip(wanted, keys, strict=True):
            if key is not None and key in known:
                results[place][index] = duplicate(index, order, *known[key])
                continue
            allowance = allowances.get((submission.caller.account_id, submission.caller.mode))
            if allowance is not None and not allowance.take():
                refused[place] = allowance.refusal()
                results[place][index] = beyond_plan(index, refused[place])
                continue
            package = NewPackage(
                next(ids),
                submission.caller.account_id,
                submission.caller.mode,
                submission.source,
                order,
                now_ms,
                None if key is None else key[0],
            )
            if key is not None:
                known[key] = (package.id, order.site)
            new.append(package)
            drafts.append(created_event(next(event_ids), package, submission.caller, now))
            results[place][index] = OrderResult(index, "created", package.id)
        await self._packages.insert(connection, new)
        if allowances:
            drafts += await self._plans.count(connection, allowances.values(), now)
        published = await self._publisher.record(connection, drafts, now, subscribed)
        return results, refused, published

    async def _looked_up(
        self,
        connection: Transaction,
        wanted: Sequence[tuple[int, int, Submission, Order]],
        keys: Sequence[OrderKey | None],
    ) -> tuple[dict[OrderKey, tuple[str, str | None]], Subscribed | None]:
        """Return the orders stored already; on PostgreSQL with the accounts' subscriptions.

        Nothing is left to read then once rows are queued, so that they go out in one statement
        that needs no BEGIN: two round trips in place of six. The subscriptions of very many orders
        are read later, because it takes a while to seal the orders.
        """
        given = {key for key in keys if key}
        if connection.dialect.name != "postgresql" or len(wanted) > _MOST_LOOKED_UP_TOGETHER:
            return await self._packages.known_orders(connection, given), None
        read_at = self._clock.monotonic_seconds()
        [(orders, destinations)] = await connection.fetch(
            KNOWN_AND_SUBSCRIBED,
            order_index=sorted({key[0] for key in given}),
            account_id=sorted({each.caller.account_id for _, _, each, _ in wanted}),
        )
        return known_of(orders), Subscribed(read_at, subscriptions_of(destinations))

    async def _allowances(
        self,
        connection: AsyncConnection,
        wanted: Sequence[tuple[int, int, Submission, Order]],
        now: datetime,
    ) -> dict[tuple[str, Mode], Allowance]:
        """Return the remaining limits of the accounts' plans; test data has no plan."""
        live = {each.caller.account_id for _, _, each, _ in wanted if each.caller.mode == "live"}
        found = await self._plans.allowances(connection, live, now)
        return {(account_id, "live"): each for account_id, each in found.items()}

    def _order_key(self, submission: Submission, index: int, order: Order) -> OrderKey | None:
        caller, source = submission.caller, submission.source
        if order.external_order_id:
            return self._packages.order_key(
                caller.account_id, caller.mode, source, order.external_order_id
            )
        reference = submission.candidates[index].reference
        if not reference:
            return None
        return self._packages.reference_key(caller.account_id, caller.mode, source, reference)


_ANSWER_DECODER = msgspec.json.Decoder(IntakeResult)


def answer(
    errors: Sequence[tuple[Problem, ...]],
    warnings: tuple[Problem, ...],
    stored: Mapping[int, OrderResult],
    plan: PlanRefusal | None = None,
) -> IntakeResult:
    """Return a result per order: what was stored, or why it was rejected."""
    results = (
        stored.get(index) or OrderResult(index, "rejected", errors=faults)
        for index, faults in enumerate(errors)
    )
    return IntakeResult(tuple(results), warnings, plan=plan)


def beyond_plan(index: int, refusal: PlanRefusal) -> OrderResult:
    """Return the result of an order that the account's plan has no room for."""
    return OrderResult(index, "rejected", errors=(Problem(refusal.sentence),))


def replayed(response: bytes) -> IntakeResult:
    """Return a stored response, marked as replayed."""
    return msgspec.structs.replace(_ANSWER_DECODER.decode(response), replayed=True)


def duplicate(index: int, order: Order, package_id: str, site: str | None) -> OrderResult:
    """Return the existing package; an order of another site with the same id is rejected."""
    if order.site == site:
        return OrderResult(index, "duplicate", package_id)
    problem = Problem(
        "another site's order has this external_order_id; put the site into the id",
        field="external_order_id",
    )
    return OrderResult(index, "rejected", errors=(problem,))


def created_event(event_id: str, package: NewPackage, caller: Caller, now: datetime) -> EventDraft:
    """Draft the ``package.created`` event."""
    order = package.order
    data: dict[str, Any] = {
        "package_id": package.id,
        "external_patient_id": order.external_patient_id,
        "rx_number": order.rx_number,
        "external_order_id": order.external_order_id,
        "site": order.site,
        "source": package.source,
        "priority": order.priority,
        "requires_signature": order.requires_signature,
        "copay_amount": order.copay_amount,
        "delivery_date": order.delivery_date,
    }
    if order.prescriptions:
        data["prescriptions"] = references_of(order.prescriptions)
    return EventDraft(
        id=event_id,
        type="package.created",
        account_id=package.account_id,
        mode=package.mode,
        site=order.site,
        subject=package.id,
        data=data,
        occurred_at=now,
        actor=caller.actor,
        status_after="created",
        trace=caller.trace,
        routing=routing_of(order),
    )


def at(index: int, problem: Problem) -> Problem:
    """Return ``problem`` with the index of its order."""
    return msgspec.structs.replace(problem, index=index)
