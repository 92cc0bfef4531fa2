"""The core's event types: what each means, a sample, and a JSON Schema of its data."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.model.event import EventType

_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_MONEY: Final = {"type": ["number", "null"]}
_PRESCRIPTIONS: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"rx_number": _TEXT, "fill_number": {"type": ["integer", "null"]}},
        "required": ["rx_number", "fill_number"],
    },
}
_REFERENCES: Final[Mapping[str, Any]] = {
    "package_id": _TEXT,
    "external_patient_id": _MAYBE,
    "rx_number": _MAYBE,
    "external_order_id": _MAYBE,
    "site": _MAYBE,
    "prescriptions": _PRESCRIPTIONS,
}
_SAMPLE: Final[Mapping[str, Any]] = {
    "package_id": "pkg_0199d2c4a1b27c3e8f40a1b2c3d4e5f6",
    "external_patient_id": "PMS-9081",
    "rx_number": "RX-8872341",
}
_PROOF: Final[Mapping[str, Any]] = {
    "photo_url": "https://storage.example.com/p/1.jpg",
    "signature_url": "https://storage.example.com/s/1.png",
    "lat": 25.8612,
    "lng": -80.2983,
}

_PROOF_SCHEMA: Final[Mapping[str, Any]] = {
    "type": ["object", "null"],
    "properties": {
        "photo_url": {"type": "string", "description": "expires, where the file is kept here"},
        "signature_url": {"type": "string", "description": "as photo_url"},
        "photo_file": {"type": "string", "description": "the id of a file kept here"},
        "signature_file": {"type": "string", "description": "the id of a file kept here"},
        "lat": {"type": "number"},
        "lng": {"type": "number"},
    },
}


def core_event_types() -> tuple[EventType, ...]:
    """Return the event types that the core publishes."""
    moved = {
        "driver_id": "drv_b12c",
        "occurred_at": "2026-04-19T18:20:00Z",
    }
    moved_schema = {"driver_id": _MAYBE, "occurred_at": _MOMENT, "notes": _TEXT}
    failure = {"failure_reason": "no_answer"}
    return (
        _package(
            "package.created",
            "An order was accepted and kept.",
            {
                "external_order_id": "SO-1001",
                "site": "main",
                "source": "json_api",
                "priority": "routine",
                "requires_signature": True,
                "copay_amount": 12.50,
                "delivery_date": "2026-04-20",
            },
            {
                "source": _TEXT,
                "priority": {"enum": ["routine", "urgent", "stat"]},
                "requires_signature": {"type": "boolean"},
                "copay_amount": _MONEY,
                "delivery_date": _MAYBE,
            },
        ),
        _package(
            "package.updated",
            "What the package carries was changed while it was still in the pharmacy.",
            {
                "changed": ["patient_address", "copay_amount"],
                "priority": "routine",
                "requires_signature": True,
                "copay_amount": 7.25,
                "delivery_date": "2026-04-20",
            },
            {
                "changed": {"type": "array", "items": _TEXT},
                "priority": {"enum": ["routine", "urgent", "stat"]},
                "requires_signature": {"type": "boolean"},
                "copay_amount": _MONEY,
                "delivery_date": _MAYBE,
                "cancelled_prescriptions": _PRESCRIPTIONS,
            },
        ),
        *(
            _package(name, meaning, moved, moved_schema)
            for name, meaning in (
                ("package.ready", "The package waits for a driver."),
                ("package.cancelled", "The package was called off before it was picked up."),
                ("delivery.assigned", "A driver was assigned."),
                ("delivery.unassigned", "The driver was taken off; another one is needed."),
                ("delivery.picked_up", "The driver has the package."),
                ("delivery.out_for_delivery", "The driver is on the way to the patient."),
                ("delivery.arrived", "The driver is at the address."),
                ("delivery.rescheduled", "The delivery was put off to another time."),
                ("delivery.returning", "The package is on its way back to the pharmacy."),
                ("delivery.returned", "The package is back in the pharmacy."),
            )
        ),
        *(
            _package(name, meaning, {**moved, **failure}, {**moved_schema, "failure_reason": _TEXT})
            for name, meaning in (
                ("delivery.attempted", "The driver was there and could not hand the package over."),
                ("delivery.failed", "The delivery ended without success."),
            )
        ),
        _package(
            "delivery.completed",
            "The patient has the package.",
            {
                "driver_id": "drv_b12c",
                "delivered_at": "2026-04-19T18:41:57Z",
                "proof": _PROOF,
                "copay_collected": 12.50,
                "copay_method": "card",
            },
            {
                "driver_id": _MAYBE,
                "delivered_at": _MOMENT,
                "proof": _PROOF_SCHEMA,
                "copay_collected": _MONEY,
                "copay_method": _MAYBE,
            },
        ),
        _endpoint(
            "endpoint.disabled", "An endpoint was switched off because it kept failing.", "gone"
        ),
        _endpoint(
            "endpoint.failing",
            "Nothing got through to an endpoint for a day; after five it is switched off.",
            None,
            failing_since="2026-04-18T18:42:10Z",
        ),
        _endpoint(
            "endpoint.recovered",
            "An endpoint that was failing works again.",
            None,
            failing_since="2026-04-18T18:42:10Z",
        ),
        _PLAN_USAGE,
    )


def _package(
    name: str, meaning: str, sample: Mapping[str, Any], properties: Mapping[str, Any]
) -> EventType:
    return EventType(
        type=name,
        meaning=meaning,
        sample={**_SAMPLE, **sample},
        schema={
            "type": "object",
            "properties": {**_REFERENCES, **properties},
            "required": ["package_id", "external_patient_id", "rx_number"],
        },
    )


_PLAN_USAGE: Final = EventType(
    type="plan.usage",
    meaning="The account has used a part of its plan that the plan's notify_at names.",
    sample={
        "plan": "basic",
        "limit_name": "packages_per_month",
        "percent": 80,
        "limit": 2000,
        "used": 1600,
        "resets_at": "2026-05-01T00:00:00Z",
    },
    schema={
        "type": "object",
        "properties": {
            "plan": _TEXT,
            "limit_name": _TEXT,
            "percent": {"type": "integer"},
            "limit": {"type": "integer"},
            "used": {"type": "integer"},
            "resets_at": _MOMENT,
        },
        "required": ["plan", "limit_name", "percent", "limit", "used", "resets_at"],
    },
    shown=("plan", "limit_name", "percent", "limit", "used", "resets_at"),
)


def _endpoint(name: str, meaning: str, reason: str | None, **more: str) -> EventType:
    return EventType(
        type=name,
        meaning=meaning,
        sample={
            "endpoint_id": "dst_0199d2c4a1b27c3e8f40a1b2c3d4e5f6",
            "name": "Dispatch board",
            "reason": reason,
            **more,
        },
        schema={
            "type": "object",
            "properties": {
                "endpoint_id": _TEXT,
                "name": _TEXT,
                "reason": _MAYBE,
                **dict.fromkeys(more, _MOMENT),
            },
            "required": ["endpoint_id", "name", "reason"],
        },
    )
