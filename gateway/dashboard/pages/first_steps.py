"""The owner's first steps: a site, a key, an order, an endpoint, and a delivery to it.

A panel on Today until all are done or it is dismissed; the test order goes through the same intake
as every other.
"""

from collections import OrderedDict
from typing import Any, Final

import msgspec

from gateway.dashboard.rendering import STEPS_COOKIE
from gateway.errors import InvalidInput
from gateway.model.account import Caller
from gateway.model.order import Candidate, Order
from gateway.model.permission import ANY_CALLER
from gateway.model.submission import Submission
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Answer, Page, Panel, SeeOther, Template
from gateway.storage.stores.delivery_log import AttemptFilter
from gateway.storage.stores.package_lists import PackageFilter

_SOURCE: Final = "dashboard"
_TITLE: Final = "First steps"
_MOST_DONE: Final = 1000


def first_steps_pages(gateway: Gateway) -> list[Page]:
    """Make the page, where the test order is made."""
    steps = _FirstSteps(gateway)
    return [
        Page(
            path="first-steps",
            title="First steps",
            permission=ANY_CALLER,
            handler=steps.show,
            actions=(Action(path="order", permission="orders.create", handler=steps.order),),
        )
    ]


def first_steps_panels(gateway: Gateway) -> list[Panel]:
    """Make the panel of Today."""
    steps = _FirstSteps(gateway)
    return [Panel(name=_TITLE, permission="keys.manage", handler=steps.beside, order=0)]


class _FirstSteps:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        # When all are done, later views of Today make no look-ups.
        self._done: OrderedDict[tuple[str, frozenset[str] | None], None] = OrderedDict()

    async def show(self, request: PageRequest) -> Template:
        return Template(
            "first_steps.html", {"steps": await self._steps(request), "on_today": False}
        )

    async def beside(self, request: PageRequest, subject: str) -> Template | None:
        del subject
        if request.person.role != "owner" or request.http.cookies.get(STEPS_COOKIE) == "off":
            return None
        seen_by = request.caller.account_id, request.caller.sites
        if seen_by in self._done:
            return None
        steps = await self._steps(request)
        if all(each["is_done"] for each in steps):
            self._done[seen_by] = None
            if len(self._done) > _MOST_DONE:
                self._done.popitem(last=False)
            return None
        return Template("first_steps_panel.html", {"steps": steps, "on_today": True})

    async def order(self, request: PageRequest) -> Answer:
        """Make an invented order, always as test data."""
        caller = msgspec.structs.replace(request.caller, mode="test")
        site, problems = self._gateway.sites.resolve(caller, request.site)
        if problems:
            site = next(iter(self._sites(request)), None)
        order = Order(
            patient_name="Maria Rodriguez",
            patient_address="123 Main St, Miami, FL 33178",
            patient_phone="+13055551234",
            rx_number="RX-8872341",
            site=site,
        )
        result = await self._gateway.intake.accept(Submission(caller, _SOURCE, (Candidate(order),)))
        [made] = result.results
        if made.package_id is None:
            raise InvalidInput("The test order was refused.", made.errors)
        text = request.text("A test order came in. Nothing of it reaches a patient.")
        return SeeOther(f"packages/{made.package_id}", toast=text, mode="test")

    async def _steps(self, request: PageRequest) -> list[dict[str, Any]]:
        text, caller = request.text, request.caller
        has_key, has_order, has_endpoint, has_heard = await self._facts(caller)
        steps = [
            {
                "name": "site",
                "title": text("Name your site"),
                "words": text("Orders and people belong to one. Sites are in gateway.toml."),
                "is_done": bool(self._sites(request)),
            },
            {
                "name": "key",
                "title": text("Make a key"),
                "words": text("For the program that sends orders. It is shown once."),
                "is_done": has_key,
            },
            {
                "name": "order",
                "title": text("Take the first order"),
                "words": text(
                    "From your program with the key, or an invented one to see how it looks."
                ),
                "is_done": has_order,
            },
            {
                "name": "endpoint",
                "title": text("Add an endpoint"),
                "words": text("The address of a program that is to hear what happens to packages."),
                "is_done": has_endpoint,
            },
            {
                "name": "heard",
                "title": text("See that it hears"),
                "words": text("Send it a test event from its page; what it answers shows there."),
                "is_done": has_heard,
            },
        ]
        first = next((each["name"] for each in steps if not each["is_done"]), None)
        return [{**each, "is_next": each["name"] == first} for each in steps]

    async def _facts(self, caller: Caller) -> tuple[bool, bool, bool, bool]:
        gateway = self._gateway
        both = [msgspec.structs.replace(caller, mode=mode) for mode in ("live", "test")]
        keys = await gateway.keys.list(caller.account_id)
        async with gateway.database.read() as connection:
            orders = [
                await gateway.packages.page(connection, each, PackageFilter(limit=1))
                for each in both
            ]
            endpoints = [await gateway.destinations.list(connection, each) for each in both]
            heard = [
                await gateway.delivery_log.attempts_page(
                    connection, each, AttemptFilter(limit=1, delivered=True)
                )
                for each in both
            ]
        return any(map(self._is_active, keys)), any(orders), any(endpoints), any(heard)

    def _is_active(self, key: Any) -> bool:
        return self._gateway.keys.state(key) == "active"

    def _sites(self, request: PageRequest) -> list[str]:
        return [
            each.code
            for each in self._gateway.settings.sites
            if each.account == request.caller.account_id and request.caller.sees_site(each.code)
        ]
