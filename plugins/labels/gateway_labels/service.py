"""The service of labels: send a picture, show its fields, confirm or refuse it.

Only a person's confirmation makes an order, by the same intake as every other; a scan makes one
package at most.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Row, and_, or_

from gateway.plugin import (
    AuditEntry,
    Caller,
    Candidate,
    Conflict,
    Gateway,
    Idempotency,
    IntakeResult,
    InvalidInput,
    NotFound,
    OrderResult,
    PatientKeys,
    RateLimited,
    Submission,
    TooLarge,
    Upload,
    from_epoch_ms,
    isoformat,
    new_id,
    to_epoch_ms,
)
from gateway_labels.fields.draft import draft_of
from gateway_labels.fields.evidence import FoundField
from gateway_labels.label_reader import need_extra
from gateway_labels.schema import (
    Content,
    Edit,
    ExistingOut,
    ScanItem,
    ScanOut,
    ScansOut,
    State,
)
from gateway_labels.settings import LabelsSettings
from gateway_labels.store import ScanStore
from gateway_labels.tables import scans
from gateway_labels.work import ReadingWork

SOURCE: Final = "label"
MAX_PICTURE_BYTES: Final = 8_000_000
_SECONDS_A_PICTURE: Final = 4
_CONFIRMED: Final[tuple[State, ...]] = ("confirmed",)
_UNDECIDED: Final[tuple[State, ...]] = ("reading", "draft", "failed")
_CONFIRMING: Final = timedelta(minutes=1)
_BEING_CONFIRMED: Final = "This label is being confirmed just now; look at it again."


class LabelService:
    """Scans of labels, for callers."""

    def __init__(self, gateway: Gateway, settings: LabelsSettings, work: ReadingWork) -> None:
        self._gateway = gateway
        self._settings = settings
        self._work = work
        self.store = ScanStore(gateway)
        self._shown = gateway.metrics.counter(
            "gateway_labels_fields_confirmed", "Fields of labels that were confirmed.", ("field",)
        )
        self._edited = gateway.metrics.counter(
            "gateway_labels_fields_edited", "Of these, fields that a person corrected.", ("field",)
        )

    async def upload(self, caller: Caller, upload: Upload, site: str | None) -> str:
        """Store a picture and queue it for reading; returns the scan's id.

        Raises ``MissingExtra``, ``InvalidInput``, ``TooLarge``, and ``RateLimited`` while too many
        wait to be read.
        """
        need_extra()
        if upload.spool.size > MAX_PICTURE_BYTES:
            raise TooLarge("The picture is larger than 8 MB: send a smaller one.")
        code, problems = self._gateway.sites.resolve(caller, site)
        if problems:
            raise InvalidInput("The picture can't be taken in.", problems)
        await self._need_room()
        scan_id = new_id("scn", self._gateway.clock.now())
        content = b"".join(upload.spool.pieces())
        async with self._gateway.database.begin() as connection:
            parts = await self.store.keep_picture(connection, scan_id, content)
            await self.store.add(connection, caller, scan_id, code, parts)
            await self._work.put(connection, scan_id)
        self._work.queue.wake()
        return scan_id

    async def _need_room(self) -> None:
        waiting = await self.store.waiting()
        if waiting >= self._settings.waiting_most:
            raise RateLimited(
                f"{waiting} labels wait to be read; wait, then send it again.",
                policy="labels",
                limit=self._settings.waiting_most,
                window_seconds=60,
                retry_after_seconds=max(1, min(60, waiting * _SECONDS_A_PICTURE)),
            )

    async def show(self, caller: Caller, scan_id: str) -> ScanOut:
        """Return a scan with its fields; the view is audited."""
        row = await self.visible(caller, scan_id)
        content = self.store.content(row)
        if content.fields:
            await self._note(caller, row, content, "view", "label.viewed")
        return await self._out(caller, row, content)

    async def _out(self, caller: Caller, row: Row[Any], content: Content) -> ScanOut:
        has_picture = content.width > 0 and row.picture_parts > 0
        return ScanOut(
            scan_id=row.id,
            status=row.state,
            created_at=isoformat(from_epoch_ms(row.created_at_ms)),
            site=row.site,
            width=content.width,
            height=content.height,
            picture=f"/api/labels/{row.id}/picture" if has_picture else None,
            quality=content.quality,
            fields=content.fields,
            codes=content.codes,
            draft=draft_of(content.fields, row.site) if row.state == "draft" else None,
            existing=await self._existing(caller, row, content),
            package_id=row.package_id,
            edited=[each.field for each in content.edits],
            error=content.error,
        )

    async def _existing(
        self, caller: Caller, row: Row[Any], content: Content
    ) -> ExistingOut | None:
        number = value_of(content.fields, "rx_number")
        if row.state != "draft" or number is None:
            return None
        async with self._gateway.database.read() as connection:
            found = await self._gateway.packages.search(
                connection, caller, "rx_number", number, limit=1
            )
        return ExistingOut(found[0].id, found[0].status) if found else None

    async def picture(self, caller: Caller, scan_id: str) -> bytes:
        """Return the picture of a label that was read, as a JPEG; the view is audited."""
        row = await self.visible(caller, scan_id)
        content = self.store.content(row)
        found = await self.store.picture(row.id, row.picture_parts) if content.width else None
        if found is None:
            raise NotFound("There is no picture of this label any more, or not yet.")
        await self._note(caller, row, content, "view", "label.viewed", ("image",))
        return found.getvalue()

    async def page(
        self, caller: Caller, limit: int, before_id: str | None, states: tuple[State, ...] = ()
    ) -> ScansOut:
        """Return scans, the newest first, without what was read."""
        rows = await self.store.page(caller, limit, before_id, states)
        items = [
            ScanItem(
                scan_id=row.id,
                status=row.state,
                created_at=isoformat(from_epoch_ms(row.created_at_ms)),
                site=row.site,
                package_id=row.package_id,
            )
            for row in rows
        ]
        return ScansOut(items, items[-1].scan_id if len(items) == limit else None)

    async def confirm(
        self,
        caller: Caller,
        scan_id: str,
        candidate: Candidate,
        idempotency: Idempotency | None = None,
    ) -> IntakeResult:
        """Submit the order that a person confirmed; the scan is decided when it is accepted.

        A scan that made a package already answers with that package, as a duplicate. Raises
        ``Conflict`` for one that is not read, or was refused.
        """
        row = await self.visible(caller, scan_id)
        if row.state == "confirmed" and row.package_id is not None and idempotency is None:
            return IntakeResult((OrderResult(0, "duplicate", row.package_id),))
        if row.state not in {"draft", "failed", "confirmed"}:
            raise Conflict(f"There is nothing to confirm: this label is {row.state}.")
        order = candidate.order
        if order is not None:
            # The scan's id identifies the order, so that it never makes a second one.
            changed = msgspec.structs.replace(
                order, external_order_id=None, site=order.site or row.site
            )
            candidate = msgspec.structs.replace(candidate, order=changed, reference=scan_id)
        await self._gateway.limits.take("orders_per_hour", caller.actor)
        await self._claim(row)
        submission = Submission(caller, SOURCE, (candidate,), idempotency)
        try:
            result = await self._gateway.intake.accept(submission)
        except BaseException:  # also when cancelled: the scan can be confirmed again; raised again
            await self._give_up(row)
            raise
        made = result.results[0]
        if made.package_id is None:
            await self._give_up(row)
            return result
        await self._decide(caller, row, candidate, made.package_id)
        return result

    async def _claim(self, row: Row[Any]) -> None:
        """Allow one confirmation of a scan at a time; an interrupted one expires."""
        now = self._gateway.clock.now()
        stale = and_(
            scans.c.package_id.is_(None), scans.c.decided_at_ms < to_epoch_ms(now - _CONFIRMING)
        )
        free = or_(scans.c.state != "confirmed", scans.c.package_id.is_not(None), stale)
        async with self._gateway.database.begin() as connection:
            is_claimed = await self.store.move(
                connection,
                row,
                ("draft", "failed", "confirmed"),
                "confirmed",
                where=(free,),
                decided_at_ms=to_epoch_ms(now),
            )
        if not is_claimed:
            raise Conflict(_BEING_CONFIRMED)

    async def _give_up(self, row: Row[Any]) -> None:
        async with self._gateway.database.begin() as connection:
            await self.store.move(
                connection, row, _CONFIRMED, row.state, decided_at_ms=row.decided_at_ms
            )

    async def _decide(
        self, caller: Caller, row: Row[Any], candidate: Candidate, package_id: str
    ) -> None:
        before = self.store.content(row)
        edits = edits_of(before.fields, candidate)
        after = msgspec.structs.replace(before, edits=edits)
        async with self._gateway.database.begin() as connection:
            entry = self._entry(caller, row, before, "change", "label.confirmed")
            entry = msgspec.structs.replace(entry, detail=package_id)
            await self._gateway.audit.record(connection, [entry], self._gateway.clock.now())
            await self.store.move(
                connection, row, _CONFIRMED, "confirmed", content=after, package_id=package_id
            )
        if row.state == "draft":
            for each in before.fields:
                self._shown.inc((each.name,))
            for edit in edits:
                self._edited.inc((edit.field,))

    async def refuse(self, caller: Caller, scan_id: str) -> None:
        """Refuse a scan, so that it makes no order; refusing it again changes nothing."""
        row = await self.visible(caller, scan_id)
        if row.state in {"refused", "expired"}:
            return
        now = self._gateway.clock.now()
        async with self._gateway.database.begin() as connection:
            is_refused = await self.store.move(
                connection, row, _UNDECIDED, "refused", decided_at_ms=to_epoch_ms(now)
            )
            if is_refused:
                entry = AuditEntry.by(caller, "change", "label.refused", row.id, site=row.site)
                await self._gateway.audit.record(connection, [entry], now)
        if not is_refused:
            raise Conflict("This label is an order already; cancel the package instead.")

    async def visible(self, caller: Caller, scan_id: str) -> Row[Any]:
        """Return a scan that a caller may see; raises ``NotFound``."""
        row = await self.store.get(scan_id, caller)
        if row is None:
            raise NotFound("There is no such scan, or it is too old to be kept.")
        return row

    async def _note(
        self,
        caller: Caller,
        row: Row[Any],
        content: Content,
        kind: Any,
        action: str,
        fields: tuple[Any, ...] = ("contact", "identity", "money", "rx"),
    ) -> None:
        entry = self._entry(caller, row, content, kind, action)
        await self._gateway.audit.note([msgspec.structs.replace(entry, fields=fields)])

    def _entry(
        self, caller: Caller, row: Row[Any], content: Content, kind: Any, action: str
    ) -> AuditEntry:
        patient = self._patient(row, content)
        return AuditEntry.by(caller, kind, action, row.id, site=row.site, patient=patient)

    def _patient(self, row: Row[Any], content: Content) -> PatientKeys:
        number = value_of(content.fields, "rx_number")
        keys = self._gateway.packages.keys_of(
            row.account_id,
            rx_numbers=[number] if number else [],
            phone=value_of(content.fields, "patient_phone"),
        )
        return keys._replace(package_id=row.package_id)


def value_of(fields: list[FoundField], name: str) -> str | None:
    """Return the value of a field, ``None`` where it wasn't found."""
    return next((each.value for each in fields if each.name == name), None)


def edits_of(fields: list[FoundField], candidate: Candidate) -> list[Edit]:
    """Return the fields that a person corrected, with the read and the confirmed value."""
    order = candidate.order
    if order is None:
        return []
    filled = next((each.filled_on for each in order.prescriptions if each.filled_on), None)
    number = order.rx_number or next((each.rx_number for each in order.prescriptions), None)
    confirmed = {
        "patient_name": order.patient_name,
        "patient_address": order.patient_address,
        "patient_phone": order.patient_phone,
        "rx_number": number,
        "copay_amount": None if order.copay_amount is None else f"{order.copay_amount:.2f}",
        "filled_on": None if filled is None else filled.isoformat(),
    }
    read = {each.name: each.value for each in fields if each.name in confirmed}
    return [
        Edit(name, read.get(name), after)  # type: ignore[call-overload]  # names of fields
        for name, after in confirmed.items()
        if (name in read or after is not None) and read.get(name) != after  # type: ignore[call-overload]
    ]
