"""The rules' reports in their stored form come back as they were."""

import msgspec
import pytest
from gateway_rx_queue.job import JobContent
from gateway_rx_queue.model import Prescription, RuleReport
from gateway_rx_queue.rules.stored_reports import packed, unpacked

FINE = RuleReport(rule="repeats", result="fine")
READ = RuleReport(rule="strength", result="fine", detail="the strength is that of the DIN")
UNCHECKED = RuleReport(rule="allergies", result="not_checked", detail="no allergies\twere sent")
HELD = RuleReport(rule="supply", result="reason", codes=("supply", "sig"), detail="two, at once")
FAILED = RuleReport(
    rule="acme", result="not_checked", codes=("rule_failed",), detail="the rule failed"
)
BARE = RuleReport(rule="acme", result="reason", detail="no code")


def stored(*reports):
    return tuple(packed(each.rule, each.result, each.detail, each.codes) for each in reports)


@pytest.mark.parametrize("report", [FINE, READ, UNCHECKED, HELD, FAILED, BARE])
def test_a_report_comes_back_as_it_was(report):
    assert unpacked(stored(report)) == (report,)


def test_a_jobs_content_keeps_its_reports_in_order_and_names_what_was_not_checked():
    content = JobContent(prescription=Prescription()).judged(
        (), stored(FINE, UNCHECKED, HELD), None
    )

    read = msgspec.json.decode(msgspec.json.encode(content), type=JobContent)

    assert read.reports == (FINE, UNCHECKED, HELD)
    assert read.not_checked == ("allergies",)


@pytest.mark.parametrize("is_before", [False, True], ids=["stored", "as objects before"])
def test_one_report_is_found_by_its_whole_name(is_before):
    longer = RuleReport(rule="repeats_of_others", result="not_checked")
    content = JobContent(prescription=Prescription())
    if is_before:
        content = msgspec.structs.replace(content, reports_before=(longer, FINE, HELD))
    else:
        content = content.judged((), stored(longer, FINE, HELD), None)

    assert content.report_of("repeats") == FINE
    assert content.report_of("supply") == HELD
    assert content.report_of("repeats_of") is None


def test_reports_that_were_stored_as_objects_before_are_read_and_replaced():
    before = msgspec.json.encode({"prescription": {}, "reports": [FINE, UNCHECKED]})
    content = msgspec.json.decode(before, type=JobContent)

    assert (content.reports, content.not_checked) == ((FINE, UNCHECKED), ("allergies",))
    assert content.judged((), stored(READ), None).reports == (READ,)
