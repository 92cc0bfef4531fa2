"""The forms of one package: what happened to it, with its proof; and corrections of its order."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from gateway.dashboard.news import METHODS, REASONS
from gateway.dashboard.package_groups import _, words_of
from gateway.dashboard.package_steps import NOT_NOW, STEPS
from gateway.errors import Conflict, InvalidInput, NotFound, Problem
from gateway.model.bulk import BulkChange, report_of
from gateway.model.file import MAX_FILE_BYTES, FileOwner
from gateway.model.ids import new_id
from gateway.model.masking import masked_package
from gateway.model.order import PRIORITIES
from gateway.model.package import AMENDABLE, DeliveryUpdate, Package, Proof
from gateway.model.wire import decode
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Page, SeeOther, Template
from gateway.sdk.uploads import Upload, received_form
from gateway.storage.files.spool import NewFile

_UPDATE: Final = "packages.update"
_AMEND: Final = "orders.amend"
_PICTURES: Final = ("photo", "signature")
_UPLOAD_BYTES: Final = 2 * MAX_FILE_BYTES + 200_000
RELATIONS: Final[Mapping[str, str]] = {
    "patient": _("The patient"),
    "family": _("Family"),
    "caregiver": _("Caregiver"),
    "neighbour": _("Neighbour"),
    "staff": _("Staff of the house"),
}
_FAULTY: Final = _("Something is missing or can't be read.")


def report_pages(gateway: Gateway) -> list[Page]:
    """Return the two pages."""
    report, amend = Reports(gateway), Corrections(gateway)
    return [
        Page(
            path="packages/{package_id}/report",
            title="Report",
            permission=_UPDATE,
            handler=report.show,
            parent="packages",
            actions=(
                Action(
                    path="", permission=_UPDATE, handler=report.send, upload_bytes=_UPLOAD_BYTES
                ),
            ),
        ),
        Page(
            path="packages/{package_id}/amend",
            title="Correct the order",
            permission=_AMEND,
            handler=amend.show,
            parent="packages",
            actions=(
                Action(path="", permission=_AMEND, handler=amend.save),
                Action(path="reveal", permission=_AMEND, handler=amend.reveal, limit="reveals"),
            ),
        ),
    ]


class Reports:
    """Asks for a report's input, and sends it with its pictures."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def show(self, request: PageRequest) -> Template:
        """Show the form of an event."""
        return await self._form(request, request.query.get("event"), request.given)

    async def send(self, request: PageRequest) -> Template | SeeOther:
        """Store the pictures and apply the report; after an error the typed input stays."""
        package_id = request.path["package_id"]
        async with received_form(request.http, _PICTURES, self._gateway.files.folder) as sent:
            form = Query(list(sent.fields.items()))
            event = form.get("event")
            try:
                update = _update(package_id, event, form)
                update = await self._with_pictures(request, update, sent.files)
                done = await self._gateway.tracking.apply(request.caller, update)
            except (InvalidInput, Conflict) as error:
                return await self._form(request, event, form, error)
        toast = request.text("Now: {status}", status=request.text(words_of(done.status)))
        return SeeOther(f"packages/{package_id}", toast=toast)

    async def _with_pictures(
        self, request: PageRequest, update: DeliveryUpdate, files: Mapping[str, Upload]
    ) -> DeliveryUpdate:
        """Store the pictures, which the report names by its reference."""
        if not files:
            return update
        keeper = self._gateway.files
        keeper.need_extra()
        owner = await keeper.owner_of_package(request.caller, update.package_id)
        kept: dict[str, str] = {}
        for kind in _PICTURES:
            if kind in files:
                kept[f"{kind}_file"] = await self._keep(request, owner, kind, files[kind])
        proof = msgspec.structs.replace(update.proof or Proof(), **kept)
        return msgspec.structs.replace(update, proof=proof)

    async def _keep(self, request: PageRequest, owner: FileOwner, kind: Any, upload: Upload) -> str:
        new = NewFile(kind, upload.spool, upload.digest)
        kept = await self._gateway.files.keep(request.caller, owner, new)
        return str(decode(kept.answer, dict[str, Any])["file_id"])

    async def _form(
        self,
        request: PageRequest,
        event: str,
        given: Query,
        error: InvalidInput | Conflict | None = None,
    ) -> Template:
        step = STEPS.get(event)
        if step is None or not step.asks:
            raise NotFound("There is no such report.")
        package = await _package(self._gateway, request)
        return Template(
            "package_report.html",
            {
                "step": step,
                "event": event,
                "package": masked_package(request.caller.masked, package),
                "package_id": package.id,
                "copay": package.order.copay_amount,
                "reasons": REASONS,
                "methods": METHODS,
                "relations": RELATIONS,
                "typed": given,
                "today": request.formats.today.isoformat(),
                "event_ref": given.get("event_ref") or new_id("ref", request.now),
                "error": _sentence(request, error),
                "faults": _faults(request, error),
                "takes_pictures": event in _PROVED,
                "takes_reason": event in {"delivery.attempted", "delivery.failed"},
            },
            status=200 if error is None else 400,
            title=request.text(step.words).rstrip("…"),
        )


_PROVED: Final = frozenset({"delivery.completed", "delivery.attempted", "delivery.failed"})


class Corrections:
    """Corrects fields of an order while the package is in the pharmacy."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def show(self, request: PageRequest) -> Template:
        """Show the form; the patient's fields are empty, and an empty field changes nothing."""
        package = await _package(self._gateway, request)
        return self._form(request, package, is_revealed=False)

    async def reveal(self, request: PageRequest) -> Template:
        """Show the form with the current values, as far as this person may see them; audited."""
        package = await self._gateway.histories.reveal(
            request.caller, request.path["package_id"], "operations"
        )
        return self._form(request, package, is_revealed=True)

    async def save(self, request: PageRequest) -> SeeOther:
        """Apply the corrections."""
        package_id = request.path["package_id"]
        form = await request.form()
        package = await _package(self._gateway, request)
        changes = _corrections(form, package)
        path = f"packages/{package_id}"
        if not changes:
            return SeeOther(path, toast=request.text("Nothing was changed"))
        done = await self._gateway.amendments.correct(request.caller, package_id, changes)
        if not done.changed:
            return SeeOther(path, toast=request.text("Nothing was changed"))
        return SeeOther(path, toast=request.text("The order is corrected"))

    @staticmethod
    def _form(request: PageRequest, package: Package, *, is_revealed: bool) -> Template:
        caller = request.caller if is_revealed else request.caller.masked
        return Template(
            "package_amend.html",
            {
                "package": package,
                "order": masked_package(caller, package).order,
                "shows": is_revealed and request.caller.may("reveal.contact"),
                "can_reveal": not is_revealed and request.caller.may("reveal.contact"),
                "can_change": package.status in AMENDABLE,
                "priorities": PRIORITIES,
                "splits_copay": any(
                    each.copay_amount is not None for each in package.order.prescriptions
                ),
                "typed": request.given,
            },
        )


async def _package(gateway: Gateway, request: PageRequest) -> Package:
    async with gateway.database.read() as connection:
        package = await gateway.packages.get(connection, request.caller, request.path["package_id"])
    if package is None:
        raise NotFound("There is no such package.")
    masked = request.caller.masked
    await gateway.audit.note(gateway.packages.views(masked, [package], "package.viewed"))
    return package


def _update(package_id: str, event: str, form: Query) -> DeliveryUpdate:
    """Return the report of a form; raises ``InvalidInput`` for unreadable values."""
    notes = form.get("notes").strip() or None
    if event == "delivery.rescheduled":
        change = BulkChange(
            action="reschedule",
            package_ids=(package_id,),
            delivery_date=_day(form.get("delivery_date"), "delivery_date"),
            notes=notes,
        )
        return report_of(change, package_id)
    faults: list[Problem] = []
    driver = form.get("driver_id").strip() or None
    if event == "delivery.assigned" and driver is None:
        faults.append(Problem(_("Say who delivers it."), field="driver_id"))
    reason = form.get("failure_reason") or None
    if event in {"delivery.attempted", "delivery.failed"} and reason is None:
        faults.append(Problem(_("Choose a reason."), field="failure_reason"))
    if faults:
        raise InvalidInput(_FAULTY, faults)
    proof = Proof(
        signer_name=form.get("signer_name").strip() or None,
        signer_relationship=form.get("signer_relationship") or None,
        left_at=form.get("left_at").strip() or None,
    )
    return DeliveryUpdate(
        package_id=package_id,
        event=event,
        driver_id=driver,
        proof=None if proof == Proof() else proof,
        copay_collected=_amount(form.get("copay_collected"), "copay_collected"),
        copay_method=form.get("copay_method") or None,
        failure_reason=reason,
        notes=notes,
        event_ref=form.get("event_ref")[:100] or None,
    )


def _corrections(form: Query, package: Package) -> dict[str, Any]:
    """Return the fields to replace: typed ones, and those that are always shown."""
    changes: dict[str, Any] = {}
    shows = form.get("shows") == "1"
    for name in ("patient_name", "patient_address", "patient_phone", "patient_email", "notes"):
        value = form.get(name).strip()
        if value or (shows and name in form):
            changes[name] = value or None
    for name in ("patient_name", "patient_address"):
        if name in changes and changes[name] is None:
            changes[name] = ""  # refused as required
    if "delivery_date" in form:
        text = form.get("delivery_date")
        changes["delivery_date"] = _day(text, "delivery_date") if text else None
    if form.get("priority"):
        changes["priority"] = form.get("priority")
    if "copay_amount" in form:
        changes["copay_amount"] = _amount(form.get("copay_amount"), "copay_amount")
    changes["requires_signature"] = form.get("requires_signature") == "1"
    return {name: value for name, value in changes.items() if value != getattr(package.order, name)}


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(_FAULTY, [Problem(_("Choose a day."), field=field)]) from None


def _amount(text: str, field: str) -> Decimal | None:
    """Return an amount as people write it: ``12.50``, ``12,50`` or ``$12.50``."""
    plain = text.strip().strip("$\u00a0 ").replace(",", ".")
    if not plain:
        return None
    try:
        amount = Decimal(plain)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise InvalidInput(_FAULTY, [Problem(_("Write an amount such as 12.50."), field=field)])
    return amount


def _sentence(request: PageRequest, error: InvalidInput | Conflict | None) -> str | None:
    if error is None:
        return None
    return request.text(NOT_NOW if isinstance(error, Conflict) else error.message)


def _faults(request: PageRequest, error: InvalidInput | Conflict | None) -> Mapping[str, str]:
    if error is None:
        return {}
    return {each.field: request.text(each.message) for each in error.details if each.field}
