"""The pages Scan: take a picture, compare the fields with it, create the order.

A person compares name, address and rx number with the label at any confidence; without that,
neither the button nor Enter makes an order.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Action,
    Badge,
    Caller,
    Download,
    Gateway,
    InvalidInput,
    MissingExtra,
    Page,
    PageRequest,
    Problem,
    Query,
    SeeOther,
    Template,
    order_candidate,
    orders_answer,
    received,
)
from gateway_labels.codes import pattern_of, readings
from gateway_labels.fields.evidence import MUST_TOUCH, FieldName, FoundField
from gateway_labels.label_reader import need_extra
from gateway_labels.schema import ScanOut, State
from gateway_labels.service import MAX_PICTURE_BYTES, LabelService
from gateway_labels.settings import LabelsSettings

_SCANNING: Final = "labels.scan"
_SEEING: Final = (_SCANNING, REVEAL_CONTACT, REVEAL_RX)
_WRAPPING_BYTES: Final = 100_000
_LISTED: Final = 50
_OPEN: Final[tuple[State, ...]] = ("reading", "draft", "failed")
_SHOWN: Final[tuple[FieldName, ...]] = (
    "patient_name",
    "patient_address",
    "patient_phone",
    "rx_number",
    "filled_on",
    "copay_amount",
)
_TYPES: Final[Mapping[str, str]] = {"patient_phone": "tel", "filled_on": "date"}


class ScanPages:
    """The handlers; each calls what the API calls."""

    def __init__(self, gateway: Gateway, service: LabelService, settings: LabelsSettings) -> None:
        self._gateway = gateway
        self._service = service
        self._settings = settings

    def pages(self) -> Sequence[Page]:
        """Return the pages."""
        return [
            Page(
                path="scan",
                title="Scan",
                permission=_SCANNING,
                handler=self._start,
                section="orders",
                order=30,
                icon="i-scan",
                badge=self._waiting,
                actions=(
                    Action(
                        path="",
                        permission=_SCANNING,
                        handler=self._upload,
                        upload_bytes=MAX_PICTURE_BYTES + _WRAPPING_BYTES,
                        limit="labels",
                    ),
                    Action(path="code", permission=_SCANNING, handler=self._try_code),
                ),
            ),
            Page(
                path="scan/{scan_id}",
                title="Label",
                permission=_SEEING,
                handler=self._label,
                parent="scan",
                actions=(
                    Action(
                        path="confirm",
                        permission=(_SCANNING, "orders.create"),
                        handler=self._confirm,
                        limit="orders",
                    ),
                    Action(path="refuse", permission=_SCANNING, handler=self._refuse),
                ),
            ),
            Page(
                path="scan/{scan_id}/picture",
                title="Picture",
                permission=(*_SEEING, "files.rx"),
                handler=self._picture,
                parent="scan",
            ),
        ]

    async def _waiting(self, caller: Caller) -> Badge | None:
        number, _ = await self._service.store.count(caller, "draft")
        return Badge(number, "labels to confirm", "warn") if number else None

    async def _start(self, request: PageRequest) -> Template:
        return await self._front(request)

    async def _front(self, request: PageRequest, **more: Any) -> Template:
        found = await self._service.page(request.caller, _LISTED, None, _OPEN)
        made = request.query.get("made", "")
        try:
            need_extra()
            missing = ""
        except MissingExtra as error:
            missing = error.message
        return Template(
            "labels/scan.html",
            {
                "scans": [(each, datetime.fromisoformat(each.created_at)) for each in found.scans],
                "made": made if made.startswith("pkg_") else "",
                "missing": missing,
                "patterns": self._settings.codes,
                "tried": None,
                "code": "",
                "pattern": "",
                **more,
            },
        )

    async def _upload(self, request: PageRequest) -> SeeOther:
        need_extra()
        async with received(request.http, self._gateway.files.folder) as upload:
            scan_id = await self._service.upload(request.caller, upload, request.site)
        return SeeOther(f"scan/{scan_id}")

    async def _try_code(self, request: PageRequest) -> Template:
        form = await request.form()
        text, pattern = form.get("code", "").strip(), form.get("pattern", "").strip()
        try:
            patterns = (pattern_of(pattern),) if pattern else self._settings.patterns()
        except ValueError as error:
            problem = Problem(str(error), field="pattern")
            raise InvalidInput("The pattern can't be used.", [problem]) from None
        tried = [(each.pattern, list(each.parts.items())) for each in readings(text, patterns)]
        return await self._front(request, tried=tried, code=text, pattern=pattern)

    async def _label(self, request: PageRequest) -> Template:
        scan = await self._service.show(request.caller, request.path["scan_id"])
        if scan.status == "reading":
            return Template("labels/reading.html", {"scan": scan})
        found = {each.name: each for each in scan.fields}
        return Template(
            "labels/label.html",
            {
                "scan": scan,
                "taken_at": datetime.fromisoformat(scan.created_at),
                "fields": [_shown(name, found.get(name), request) for name in _SHOWN],
                "more": [each for each in scan.fields if each.name not in _SHOWN],
                "has_picture": scan.picture is not None and request.caller.may("files.rx"),
                "is_open": scan.status in {"draft", "failed"},
                "advice": _advice(scan, request),
            },
        )

    async def _picture(self, request: PageRequest) -> Download:
        content = await self._service.picture(request.caller, request.path["scan_id"])
        return Download("label.jpg", "image/jpeg", content, inline=True)

    async def _confirm(self, request: PageRequest) -> SeeOther:
        scan_id, form = request.path["scan_id"], await request.form()
        not_seen = [
            Problem("compare it with the label", field=name)
            for name in MUST_TOUCH
            if form.get(name, "").strip() and name not in form.all("seen")
        ]
        if not_seen:
            raise InvalidInput("Compare each of these with the label first.", not_seen)
        candidate = order_candidate(_order_of(form))
        result = await self._service.confirm(request.caller, scan_id, candidate)
        orders_answer(result)  # raises for an unacceptable order
        made = result.results[0]
        toast = (
            request.text("The order was made.")
            if made.status == "created"
            else request.text("This label is an order already.")
        )
        return SeeOther(f"scan?made={made.package_id}", toast=toast)

    async def _refuse(self, request: PageRequest) -> SeeOther:
        await self._service.refuse(request.caller, request.path["scan_id"])
        return SeeOther("scan", toast=request.text("The label was refused; nothing was ordered."))


def _order_of(form: Query) -> dict[str, Any]:
    """Return the order of the form, as for the JSON API."""
    order: dict[str, Any] = {
        name: value
        for name in ("patient_name", "patient_address", "patient_phone", "rx_number", "notes")
        if (value := form.get(name, "").strip())
    }
    if copay := form.get("copay_amount", "").strip(" $\xa0"):
        order["copay_amount"] = copay.replace(",", ".")
    if form.get("requires_signature"):
        order["requires_signature"] = True
    filled_on = form.get("filled_on", "").strip()
    if filled_on and "rx_number" in order:
        rx = {"rx_number": order["rx_number"], "filled_on": filled_on}
        order["prescriptions"] = [rx]
    return order


def _shown(name: FieldName, field: FoundField | None, request: PageRequest) -> dict[str, Any]:
    """Return a field as the page shows it: its name, its value and its confidence."""
    text = request.text
    words = {
        "patient_name": text("Name"),
        "patient_address": text("Address"),
        "patient_phone": text("Phone"),
        "rx_number": text("Rx number"),
        "filled_on": text("Filled on"),
        "copay_amount": text("Copay"),
    }
    confidence = "none" if field is None else field.confidence
    sure = {
        "high": ("s-done", text("Two places agree"), "ok"),
        "medium": ("s-ready", text("Read once"), ""),
        "low": ("s-warn", text("Doubtful"), "warn"),
        "none": ("s-dot", text("Not found"), ""),
    }[confidence]
    return {
        "name": name,
        "label": words[name],
        "value": "" if field is None else field.value,
        "type": _TYPES.get(name, "text"),
        "must_touch": name in MUST_TOUCH,
        "required": name in {"patient_name", "patient_address"},
        "sure": sure,
        "confidence": confidence,
        "alternatives": () if field is None else field.alternatives,
        "box": None if field is None else " ".join(f"{x:g},{y:g}" for x, y in field.box),
    }


def _advice(scan: ScanOut, request: PageRequest) -> str:
    if scan.error:
        return request.text(scan.error)
    advice = None if scan.quality is None else scan.quality.advice
    return request.text(advice) if advice else ""
