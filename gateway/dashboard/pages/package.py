"""The page of one package: its stations, its next steps, the patient, the bag, its history."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast, get_args

import msgspec

from gateway.dashboard.news import METHODS, News, Newsroom, last_digits
from gateway.dashboard.package_groups import GROUP_OF, _, words_of
from gateway.dashboard.package_steps import NOT_NOW, STEPS, buttons_of, way_of
from gateway.dashboard.pages.packages import may_reveal, purpose_of
from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.intake.histories import Access, History, Step
from gateway.intake.history_json import history_out
from gateway.model.account import Caller
from gateway.model.audit import Purpose
from gateway.model.bag import BagChange, Prescription, RxNumber, bag_of
from gateway.model.masking import masked_order, masked_rx_number
from gateway.model.order import Order
from gateway.model.package import AMENDABLE, DeliveryUpdate, Package
from gateway.model.permission import REVEAL_CONTACT
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Answer, Download, Page, SeeOther, Template, Undo
from gateway.sdk.uploads import file_response
from gateway.storage.stores.timelines import Heard

_PERMISSION: Final = "packages.read"
_MOST_ACCESSES: Final = 12
PURPOSES: Final[Mapping[Purpose, str]] = {
    "care": _("Care"),
    "delivery": _("Delivery"),
    "payment": _("Payment"),
    "patient_request": _("The patient asks"),
    "operations": _("Running the pharmacy"),
    "legal": _("The law asks"),
}
_PICTURES: Final = {"photo": _("Photo"), "signature": _("Signature")}


class Happened(NamedTuple):
    """A step as the page shows it: ``photos`` are ids of files with their words."""

    news: News
    by: str
    photos: Sequence[tuple[str, str]]
    heard: Sequence[Heard]
    heard_words: str
    heard_state: str


class Item(NamedTuple):
    """A prescription in the bag; ``place`` counts from 0."""

    place: int
    number: str
    is_masked: bool
    prescription: Prescription


class Seen(NamedTuple):
    """A view of the package: initials, a name, the action, the time."""

    initials: str
    name: str
    words: str
    small: str
    at: datetime


def package_pages(gateway: Gateway) -> list[Page]:
    """Return the page, with its history as a file and the picture of a proof."""
    package = PackagePage(gateway)
    return [
        Page(
            path="packages/{package_id}",
            title="Package",
            permission=_PERMISSION,
            handler=package.show,
            parent="packages",
            actions=(
                Action(
                    path="reveal", permission=_PERMISSION, handler=package.reveal, limit="reveals"
                ),
                Action(
                    path="pictures",
                    permission="files.proof",
                    handler=package.pictures,
                    limit="reveals",
                ),
                Action(path="step", permission="packages.update", handler=package.step),
                Action(path="seen-to", permission="orders.amend", handler=package.seen_to),
                Action(path="bag", permission="orders.amend", handler=package.cancel_rx),
            ),
        ),
        Page(
            path="packages/{package_id}/json",
            title="History as JSON",
            permission=_PERMISSION,
            handler=package.as_json,
            parent="packages",
        ),
        Page(
            path="packages/{package_id}/files/{file_id}",
            title="Picture",
            permission="files.proof",
            handler=package.picture,
            parent="packages",
        ),
    ]


class PackagePage:
    """Shows a package and reports what happened to it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._newsroom = Newsroom(gateway.hooks)

    async def show(self, request: PageRequest) -> Template:
        """Show the package with the patient's data masked."""
        return await self._page(request, request.caller.masked)

    async def reveal(self, request: PageRequest) -> Template:
        """Show the patient as far as this person may see it, with the named purpose."""
        given = (await request.form()).get("purpose")
        if given not in get_args(Purpose):
            raise InvalidInput("Say what you need to see the patient for.")
        caller = request.caller
        await self._gateway.histories.reveal(
            caller, request.path["package_id"], cast("Purpose", given)
        )
        return await self._page(request, caller, revealed_at=request.now)

    async def as_json(self, request: PageRequest) -> Download:
        """Answer what the API answers of its history; all that is the patient's is masked."""
        caller, package_id = request.caller.masked, request.path["package_id"]
        history = await self._gateway.histories.of(caller, package_id)
        content = msgspec.json.format(msgspec.json.encode(history_out(caller, history)))
        return Download(f"{package_id}.json", "application/json", content)

    async def pictures(self, request: PageRequest) -> Template:
        """Show the page with the pictures of its proofs; each is logged as it is opened."""
        return await self._page(request, request.caller.masked, shows_pictures=True)

    async def picture(self, request: PageRequest) -> Answer:
        """Open a picture of the package, or its thumbnail."""
        files = self._gateway.files
        file = await files.get(request.caller, request.path["file_id"])
        if file.subject != request.path["package_id"]:
            raise NotFound("There is no such file.")
        small = bool(request.query.get("small")) and file.thumbnail_bytes > 0
        answer = await file_response(files, file, request.caller, thumbnail=small)
        answer.headers["Content-Disposition"] = "inline"
        return answer

    async def step(self, request: PageRequest) -> SeeOther:
        """Report a step that needs no further input."""
        package_id = request.path["package_id"]
        event = (await request.form()).get("event")
        step = STEPS.get(event)
        if step is None or step.asks:
            raise InvalidInput("There is no such step.")
        try:
            done = await self._gateway.tracking.apply(
                request.caller, DeliveryUpdate(package_id=package_id, event=event)
            )
        except Conflict as error:
            raise Conflict(request.text(NOT_NOW)) from error
        toast = request.text("Now: {status}", status=request.text(words_of(done.status)))
        if event == "delivery.unassigned":
            toast = request.text("The driver is off")
        return SeeOther(f"packages/{package_id}", toast=toast)

    async def seen_to(self, request: PageRequest) -> SeeOther:
        """Record that a person has handled a failed package, or has to again."""
        package_id = request.path["package_id"]
        needed = (await request.form()).get("needed") == "1"
        await self._gateway.amendments.change_bag(
            request.caller, package_id, BagChange(needs_person=needed)
        )
        path = f"packages/{package_id}"
        if needed:
            return SeeOther(path, toast=request.text("It needs a person again"))
        undo = Undo(f"{path}/seen-to", request.text("Undo"), {"needed": "1"})
        return SeeOther(path, toast=request.text("Seen to"), undo=undo)

    async def cancel_rx(self, request: PageRequest) -> SeeOther:
        """Take a prescription out of the bag."""
        package_id = request.path["package_id"]
        place = (await request.form()).get("place")
        async with self._gateway.database.read() as connection:
            package = await self._gateway.packages.get(connection, request.caller, package_id)
        bag = () if package is None else _bag(package.order)
        if not place.isdecimal() or int(place) >= len(bag):
            raise InvalidInput("The bag has no such prescription.")
        chosen = bag[int(place)]
        number = RxNumber(chosen.rx_number, chosen.fill_number)
        await self._gateway.amendments.change_bag(
            request.caller, package_id, BagChange(cancelled=(number,))
        )
        return SeeOther(f"packages/{package_id}", toast=request.text("Taken out of the bag"))

    async def _page(
        self,
        request: PageRequest,
        seen_by: Caller,
        *,
        revealed_at: datetime | None = None,
        shows_pictures: bool = False,
    ) -> Template:
        caller, package_id = request.caller, request.path["package_id"]
        history = await self._gateway.histories.of(caller.masked, package_id)
        accesses: Sequence[Access] = ()
        if caller.may("reports.access"):
            accesses = await self._gateway.histories.accesses(
                caller, package_id, limit=_MOST_ACCESSES
            )
        package = history.package
        driver = await self._driver(caller, package)
        order = masked_order(seen_by, package.order)
        rx = last_digits(package.order.rx_number)
        masked = masked_order(caller.masked, package.order)
        may_update = caller.may("packages.update") and not package.purged
        return Template(
            "package.html",
            {
                "package": package,
                "masked_name": masked.patient_name,
                "order": order,
                "rx": rx,
                "group": GROUP_OF[package.status],
                "driver": driver,
                "status_words": _status_words(request, package, driver),
                "attempts": sum(
                    each.event.type == "delivery.attempted" and not each.event.late
                    for each in history.steps
                ),
                "way": way_of(package.status, [each.event for each in history.steps]),
                "buttons": buttons_of(package.status) if may_update else None,
                "can_amend": caller.may("orders.amend")
                and package.status in AMENDABLE
                and not package.purged,
                "items": _items(seen_by, package.order),
                "happened": [self._happened(request, caller, each) for each in history.steps][::-1],
                "pictures": _pictures(caller, history),
                "shows_pictures": shows_pictures,
                "collected": _collected(history),
                "seen": [_seen(request, each) for each in accesses],
                "may_reveal": may_reveal(caller) and not package.purged,
                "reveals_contact": seen_by.may(REVEAL_CONTACT),
                "revealed_at": revealed_at,
                "purposes": PURPOSES,
                "purpose": purpose_of(caller),
                "source": request.text(self._newsroom.source_words(package.source)),
            },
            panels=("package", package_id),
            title=request.text("Package, Rx ending in {rx}", rx=rx) if rx else None,
        )

    async def _driver(self, caller: Caller, package: Package) -> str | None:
        """Return the driver's name, where the id is of a person or key; else the id itself."""
        driver_id = package.driver_id
        if driver_id is None or not driver_id.startswith(("per_", "key_")):
            return driver_id
        async with self._gateway.database.read() as connection:
            names = await self._gateway.accounts.names(connection, caller, [driver_id])
        return names.get(driver_id, driver_id)

    def _happened(self, request: PageRequest, caller: Caller, step: Step) -> Happened:
        event = step.event
        news = self._newsroom.of(request, event)
        words, state = _heard_words(request, step.heard)
        photos = (
            [(each.id, request.text(_PICTURES.get(each.kind, each.kind))) for each in step.files]
            if caller.may("files.proof")
            else []
        )
        by = step.reported_by or ("" if event.actor.startswith("key_") else event.actor)
        return Happened(
            news=news,
            by=by,
            photos=photos,
            heard=step.heard,
            heard_words=words,
            heard_state=state,
        )


def _status_words(request: PageRequest, package: Package, driver: str | None) -> str:
    words = request.text(GROUP_OF[package.status].words)
    if package.status == "assigned" and driver:
        return request.text("Assigned to {driver}", driver=driver)
    return words


def _bag(order: Order) -> tuple[Prescription, ...]:
    return bag_of(order.prescriptions, order.rx_number, order.copay_amount).prescriptions


def _items(seen_by: Caller, order: Order) -> list[Item]:
    reveals = seen_by.may("reveal.rx")
    return [
        Item(
            place,
            each.rx_number if reveals else masked_rx_number(each.rx_number).lstrip("…"),
            not reveals,
            each,
        )
        for place, each in enumerate(_bag(order))
    ]


def _heard_words(request: PageRequest, heard: Sequence[Heard]) -> tuple[str, str]:
    """Return how many endpoints were notified, and the state of the line."""
    if not heard:
        return "", ""
    done = sum(each.state == "delivered" for each in heard)
    if done == len(heard):
        return request.ntext("{n} endpoint notified", "All {n} endpoints notified", done), ""
    late = [each for each in heard if each.state != "delivered"]
    failing = [each for each in late if each.attempts or each.state == "exhausted"]
    if not failing:
        text = request.text("{done} of {n} endpoints notified", done=done, n=len(heard))
        return text, ""
    text = request.text(
        "{done} of {n} endpoints notified; {name} is failing",
        done=done,
        n=len(heard),
        name=failing[0].name,
    )
    return text, "warn"


def _pictures(caller: Caller, history: History) -> int:
    return len(history.files) if caller.may("files.proof") else 0


def _collected(history: History) -> Mapping[str, Any] | None:
    """Return what was collected at the door, and how."""
    for step in reversed(history.steps):
        data = step.event.data
        if data.get("copay_collected") is not None:
            method = METHODS.get(str(data.get("copay_method")))
            return {"amount": data["copay_collected"], "method": method}
    return None


_KINDS: Final[Mapping[str, str]] = {
    "view": _("opened it"),
    "reveal": _("revealed the patient"),
    "list": _("listed it"),
    "search": _("searched for it"),
    "create": _("added to it"),
    "change": _("changed it"),
    "export": _("exported it"),
    "print": _("printed it"),
    "disclose": _("sent it on"),
}
VIA: Final[Mapping[str, str]] = {
    "page": _("on a page"),
    "key": _("by an API key"),
    "cli": _("by command"),
    "job": _("by the gateway"),
}


def _seen(request: PageRequest, access: Access) -> Seen:
    row = access.row
    name = access.name or row.actor
    if row.actor == request.person.id:
        name = request.text("You")
    words = request.text(_KINDS.get(row.kind or "", row.action))
    if row.action == "file.viewed":
        words = request.text("opened a picture")
    small = ", ".join(request.text(FIELDS.get(each, each)) for each in row.fields) or (
        request.text("masked") if row.kind in {"view", "list"} else ""
    )
    via = request.text(VIA.get(row.via or "", "")) if row.via and row.via != "page" else ""
    initials = "".join(each[0] for each in (access.name or row.actor).split()[:2]).upper()
    return Seen(
        initials,
        name,
        words,
        " · ".join(filter(None, (small, via))),
        datetime.fromisoformat(row.at),
    )


FIELDS: Final[Mapping[str, str]] = {
    "identity": _("name"),
    "contact": _("address and phone"),
    "rx": _("prescriptions"),
    "money": _("copay"),
    "image": _("picture"),
    "proof": _("proof"),
}
