"""From an event and its package to what the courier takes. Pure: a table can test it."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from gateway.plugin import Event, Package, encode
from gateway_courier.schema import Job, Recipient

_SPEEDS: Final[Mapping[str, str]] = {"urgent": "today", "stat": "direct"}


class Call(NamedTuple):
    """A request to make: ``path`` below the API's address, ``body`` empty for a DELETE."""

    method: Literal["POST", "PUT", "DELETE"]
    path: str
    body: bytes

    @property
    def names_patient(self) -> bool:
        """Whether the courier learns who gets the package."""
        return bool(self.body)


def call_of(event: Event, package: Package | None, depot: str) -> Call | None:
    """Return what to say to the courier about an event; ``None`` where it needn't know.

    A package whose data was erased meanwhile can't be booked any more.
    """
    path = f"/v1/jobs/{event.subject}"
    if event.type == "package.cancelled":
        return Call("DELETE", path, b"")
    if package is None or package.purged:
        return None
    if event.type == "package.ready":
        return Call("POST", "/v1/jobs", encode(job_of(package, depot)))
    if event.type == "package.updated":
        return Call("PUT", path, encode(job_of(package, depot)))
    return None


def job_of(package: Package, depot: str) -> Job:
    """Return a package as a job: address and name, no prescription and no money."""
    order = package.order
    return Job(
        reference=package.id,
        depot=depot,
        recipient=Recipient(order.patient_name, order.patient_address, order.patient_phone),
        speed=_SPEEDS.get(order.priority, "standard"),
        signature=order.requires_signature,
        day=order.delivery_date,
    )
