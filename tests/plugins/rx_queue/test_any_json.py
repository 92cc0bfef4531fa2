"""Whatever JSON comes to ``POST /api/rx``: it is taken, or refused, and never a fault of ours."""

import copy

import pytest
from gateway_rx_queue.schema import MedicationIn, PatientIn, PrescriberIn, PrescriptionIn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PARTS = {"patient": PatientIn, "prescriber": PrescriberIn, "medication": MedicationIn}
FIELDS = [("", name) for name in PrescriptionIn.__struct_fields__] + [
    (part, name) for part, shape in PARTS.items() for name in shape.__struct_fields__
]
NASTY = (
    "",
    "0",
    "0 tab daily",
    "0-1 tab daily",
    "1e999999999",
    "-1e999999999",
    "1e-999999999",
    "NaN",
    "sNaN",
    "Infinity",
    "0001-01-01",
    "9999-12-31",
    "½",
    "\x00",
    "\u2028",
    "9" * 600,
    None,
    True,
    0,
    -1,
    3650,
    3651,
    2**63,
    -(10**30),
    1e308,
    -1e-308,
    [],
    [""],
    [[]],
    {},
    {"": None},
    {"medication.din": 0},
)

leaves = (
    st.sampled_from(NASTY)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dates().map(str)
    | st.decimals().map(str)
    | st.text(max_size=20)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=6,
)
# A good one with some fields changed comes further than what is nonsense from the start.
changes = st.lists(st.tuples(st.sampled_from(FIELDS), anything), min_size=1, max_size=3)


def changed(sent, fields):
    made = copy.deepcopy(sent)
    for (part, name), value in fields:
        where = made.get(part) if part else made
        if isinstance(where, dict):
            where[name] = value
    return made


@pytest.fixture
def sent(rx):
    return rx(external_id=None)


@pytest.mark.slow
async def test_each_field_may_hold_each_nasty_value(gateway, key, sent, caplog):
    for field in FIELDS:
        batch = [changed(sent, [(field, value)]) for value in NASTY]
        answer = await gateway.post("/api/rx", key, {"prescriptions": batch})

        assert answer.status_code == 202, field
        assert len(answer.json()["results"]) == len(NASTY)
    # A guarded rule would only hold its prescriptions up.
    assert "failed" not in caplog.text


# Bounded by their number: each of them goes through HTTP and into the database.
@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(several=st.lists(changes, min_size=1, max_size=8), nonsense=anything)
async def test_no_json_is_a_fault_of_ours(gateway, key, sent, several, nonsense):
    ones = [changed(sent, fields) for fields in several]

    for body in (ones[0], {"prescriptions": [*ones, sent]}, {"prescriptions": nonsense}, nonsense):
        answer = await gateway.post("/api/rx", key, body)
        assert answer.status_code in {202, 400}
