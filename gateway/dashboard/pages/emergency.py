"""Open one record in full in an emergency (break-glass): with a reason, for 30 minutes."""

from gateway.auth.emergencies import PERMISSION
from gateway.errors import NotFound
from gateway.model.masking import masked_order
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Page, SeeOther, Template


def emergency_pages(gateway: Gateway) -> list[Page]:
    """Make the page."""
    emergency = _Emergency(gateway)
    return [
        Page(
            path="packages/{package_id}/emergency",
            title="Open in an emergency",
            permission=(PERMISSION, "packages.read"),
            handler=emergency.ask,
            parent="packages",
            actions=(Action(path="", permission=PERMISSION, handler=emergency.open, step_up=True),),
        )
    ]


class _Emergency:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def ask(self, request: PageRequest) -> Template:
        """Ask for the reason, and say what it means."""
        caller, package_id = request.caller.masked, request.path["package_id"]
        async with self._gateway.database.read() as connection:
            package = await self._gateway.packages.get(connection, caller, package_id)
        if package is None or package.purged:
            raise NotFound("There is no such package.")
        name = masked_order(caller, package.order).patient_name
        return Template("emergency.html", {"package": package, "masked_name": name})

    async def open(self, request: PageRequest) -> SeeOther:
        """Open the record to this person."""
        package_id = request.path["package_id"]
        reason = (await request.form()).get("reason")
        await self._gateway.emergencies.open(request.caller, package_id, reason)
        return SeeOther(
            f"packages/{package_id}", toast=request.text("Open to you in full for 30 minutes")
        )
