"""The audit trail as a file: what others named is never run by a spreadsheet program."""

import csv
import io

import pytest

from gateway.model.audit import AuditEntry

FORMULA = "=HYPERLINK(1)"


@pytest.fixture
async def running(harness):
    async with harness("[plugins.json_api]\n") as gateway:
        entry = AuditEntry("default", "key_1", "plan.changed", FORMULA, detail=FORMULA)
        await gateway.gateway.audit.note([entry])
        yield gateway


async def test_a_subject_and_a_note_that_look_like_formulas_are_text(running):
    key = await running.issue_key()

    answer = await running.post("/api/audit/search?as_csv=true", key, {})

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    [row] = [each for each in rows if each["action"] == "plan.changed"]
    assert (row["subject"], row["detail"]) == (f"'{FORMULA}", f"'{FORMULA}")
