"""Sample payloads, made up: orders, prescriptions, and events of every type.

As functions, and as the fixtures ``sample_orders``, ``sample_prescriptions`` and ``sample_events``:

.. code-block:: python

    from gateway.testing import samples


    async def test_every_event_has_a_place_in_the_erp(sample_events):
        for event in sample_events():
            assert mapping.row_of(event) is not None


    async def test_a_bag_arrives(gateway, key):
        orders = samples.orders(2, patient_phone=None)
        await gateway.post("/api/webhook/orders", key, {"orders": orders})

Names, addresses and numbers are made up; telephone numbers are of ranges kept for fiction, health
numbers pass their checks without being any patient's.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from gateway.model.account import DEFAULT_ACCOUNT, Mode
from gateway.model.catalog import core_event_types
from gateway.model.event import Event, EventType
from gateway.model.ids import new_id

NOW: Final = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
_PATIENTS: Final = (
    ("Maria Rodriguez", "123 Main St, Miami, FL 33178", "+13055550101"),
    ("Ana Silva", "45 Lake Shore Blvd W, Toronto, ON M5V 1A1", "+14165550102"),
    ("Zoë O'Neill", "Apt 7, 9 Rue Sainte-Catherine E, Montréal, QC H2X 1K4", "+15145550103"),
    ("Nguyễn Văn An", "1600 Pacific Hwy, San Diego, CA 92101", "+16195550104"),
    ("Jean-Luc de la Croix", "77 Elm St, Unit B, Boston, MA 02108", "+16175550105"),
)
_DRUGS: Final = (
    ("02242705", "atorvastatin 20 mg tab", "tab", 30, "1 tab daily"),
    ("02238645", "metformin 500 mg tab", "tab", 60, "1 tab twice daily"),
    ("02123282", "ramipril 5 mg cap", "cap", 30, "1 cap daily"),
)


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return an order as ``POST /api/webhook/orders`` takes it; each ``number`` is another one.

    ``changes`` replace fields; a value of ``None`` leaves the field out.
    """
    name, address, phone = _PATIENTS[number % len(_PATIENTS)]
    made = {
        "patient_name": name,
        "patient_address": address,
        "patient_phone": phone,
        "rx_number": f"RX-{8872340 + number}",
        "copay_amount": number % 40 + 0.5,
        "priority": ("routine", "urgent", "stat")[number % 3],
        "requires_signature": number % 2 == 0,
        "external_patient_id": f"PMS-{9080 + number}",
        "external_order_id": f"SAMPLE-{number}",
        "metadata": {"channel": "sample"},
    }
    return _changed(made, changes)


def orders(count: int, **changes: Any) -> list[dict[str, Any]]:
    """Return ``count`` orders, no two alike."""
    return [order(number, **changes) for number in range(1, count + 1)]


def prescription(number: int = 1, *, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    """Return a prescription as ``POST /api/rx`` takes it, written on the day before ``now``."""
    name, _, phone = _PATIENTS[number % len(_PATIENTS)]
    first, _, last = name.partition(" ")
    din, drug, unit, quantity, sig = _DRUGS[number % len(_DRUGS)]
    made = {
        "external_id": f"SAMPLE-RX-{number}",
        "source": "fax",
        "patient": {
            "external_patient_id": f"P-{1200 + number}",
            "first_name": first,
            "last_name": last,
            "dob": "1950-02-01",
            "phone": phone,
            "province": "ON",
            "health_number": "1234567897",
        },
        "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
        "medication": {
            "din": din,
            "drug_text": drug,
            "quantity": quantity,
            "quantity_unit": unit,
            "days_supply": 30,
            "sig": sig,
            "refills": 3,
            "written_date": (now - timedelta(days=1)).date().isoformat(),
        },
        "confidence": {"medication.din": 0.98},
    }
    return _changed(made, changes)


def event(
    entry: EventType,
    *,
    now: datetime = NOW,
    mode: Mode = "live",
    site: str | None = None,
    **data: Any,
) -> Event:
    """Return an event of a type with the data of its sample; ``data`` replaces fields of it.

    It is about the id that its data names, as the real ones are.
    """
    whole = _changed(dict(entry.sample), data)
    subject = next(
        (whole[name] for name in ("package_id", "queue_id", "endpoint_id") if whole.get(name)),
        new_id("smp", now),
    )
    return Event(
        id=new_id("evt", now),
        type=entry.type,
        account_id=DEFAULT_ACCOUNT,
        mode=mode,
        subject=str(subject),
        data=whole,
        occurred_at=now,
        recorded_at=now,
        actor="sample",
        site=site,
    )


def events(event_types: Sequence[EventType] = (), *, now: datetime = NOW) -> list[Event]:
    """Return an event of each type: the core's, and ``event_types`` of plugins."""
    known = {entry.type: entry for entry in (*core_event_types(), *event_types)}
    return [event(entry, now=now) for entry in known.values()]


def _changed(made: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    gone = {name for name, value in changes.items() if value is None}
    return {name: value for name, value in {**made, **changes}.items() if name not in gone}


@pytest.fixture
def sample_orders() -> Callable[..., list[dict[str, Any]]]:
    """Return :func:`orders`."""
    return orders


@pytest.fixture
def sample_prescriptions() -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes prescriptions: ``sample_prescriptions(3)``."""

    def make(count: int, **changes: Any) -> list[dict[str, Any]]:
        return [prescription(number, **changes) for number in range(1, count + 1)]

    return make


@pytest.fixture
def sample_events() -> Callable[..., list[Event]]:
    """Return :func:`events`: ``sample_events(gateway.catalog())`` for those of plugins, too."""
    return events
