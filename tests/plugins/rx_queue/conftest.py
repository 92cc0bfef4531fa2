"""A gateway with the queue, as most of these tests use it."""

import copy

import pytest

PLUGINS = "[plugins.webhooks]\n[plugins.rx_queue]\n"
LIMITS = """
[limits]
orders_requests_per_minute = 100000
orders_per_hour = 1000000
reads_per_minute = 100000
updates_requests_per_minute = 100000
"""
PRESCRIPTION = {
    "external_id": "FAX-2231-1",
    "source": "fax",
    "patient": {
        "external_patient_id": "P-1204",
        "first_name": "Ana",
        "last_name": "Silva",
        "dob": "1950-02-01",
        "province": "ON",
        "health_number": "1234567897",
    },
    "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
    "medication": {
        "din": "02242705",
        "drug_text": "atorvastatin 20 mg tab",
        "quantity": 30,
        "quantity_unit": "tab",
        "days_supply": 30,
        "sig": "1 tab daily",
        "refills": 3,
        "written_date": "2025-12-20",
    },
    "confidence": {"medication.din": 0.98},
}


def prescription(**changes):
    """Return a prescription; a dotted field is changed, and ``None`` taken out."""
    made = copy.deepcopy(PRESCRIPTION)
    for name, value in changes.items():
        part, _, field = name.partition("__")
        where, key = (made[part], field) if field else (made, part)
        if value is None:
            where.pop(key, None)
        else:
            where[key] = value
    return made


@pytest.fixture
def rx():
    """Make prescriptions: ``rx(patient__dob=None)``."""
    return prescription


@pytest.fixture
async def gateway(harness, clock):
    async with harness(PLUGINS + LIMITS, clock) as running:
        yield running


@pytest.fixture
def clock():
    from gateway.testing import SteppingClock

    return SteppingClock()


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


@pytest.fixture
def submit(gateway, key):
    """Hand a prescription in and return its queue id."""

    async def handed_in(sent, as_key=None):
        answer = await gateway.post("/api/rx", as_key or key, sent)
        assert answer.status_code == 202, answer.text
        return answer.json()["queueId"]

    return handed_in


@pytest.fixture
def job(gateway, key):
    """Look a job up."""

    async def shown(queue_id, as_key=None):
        answer = await gateway.get(f"/api/rx/{queue_id}", as_key or key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return shown


@pytest.fixture
def lease(gateway, key):
    """Lease jobs, as an agent does."""

    async def leased(most=10, as_key=None, **more):
        answer = await gateway.post("/api/rx/lease", as_key or key, {"max": most, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"]

    return leased


@pytest.fixture
def report(gateway, key):
    """Report how a leased job went; returns the answer."""

    async def reported(leased, outcome, as_key=None, **more):
        body = {"lease_token": leased["lease_token"], "outcome": outcome, **more}
        return await gateway.post(f"/api/rx/{leased['queueId']}/result", as_key or key, body)

    return reported


@pytest.fixture
def events(gateway):
    """Return what was recorded of a job: type and data, in order."""

    async def recorded(queue_id, mode="live"):
        core = gateway.gateway
        async with core.database.read() as connection:
            found = await core.events.of_subject(connection, gateway.caller(mode=mode), queue_id)
        return [(event.type, dict(event.data)) for event in found]

    return recorded


@pytest.fixture
def events_of():
    """Return what a gateway recorded of a job: type and data, in order."""

    async def recorded(gateway, queue_id, mode="live"):
        core = gateway.gateway
        async with core.database.read() as connection:
            found = await core.events.of_subject(connection, gateway.caller(mode=mode), queue_id)
        return [(event.type, dict(event.data)) for event in found]

    return recorded
