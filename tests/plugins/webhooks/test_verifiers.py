"""The how-to page's verifiers accept what we sign, and nothing else, in every language."""

import hmac
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_webhooks.signing import new_secret, sign_autorx, sign_scriptrun, sign_standard
from webhook_verifiers import (
    PAGE,
    RUNTIMES,
    SCRIPTRUN_PAGE,
    Webhook,
    missing_program,
    run_verifier,
    run_verifiers,
    verifier_source,
)

DATA = Path(__file__).parents[2] / "data"
IN_USE, NEXT, FOREIGN = new_secret(), new_secret(), new_secret()
BODY = '{"id":"evt_1","data":{"patientId":"Zoé 💊","notes":"a, b=c."}}'.encode()
# The verifiers read the real clock, so the cases are made when they run, not when pytest looks.
MOMENT = {"now": int(time.time())}
FORMATS = ("scriptrun", "autorx", "standard")


def signed(webhook_format, *, at=None, body=BODY, rotating=False, encoding="hex"):
    at = MOMENT["now"] if at is None else at
    following = NEXT if rotating else None
    if webhook_format == "scriptrun":
        headers = {"X-ScriptRun-Signature": sign_scriptrun(IN_USE, at, body, following)}
    elif webhook_format == "standard":
        signature = sign_standard(IN_USE, "evt_1", at, body, following)
        headers = {"webhook-id": "evt_1", "webhook-timestamp": f"{at}"}
        headers |= {"webhook-signature": signature}
    else:
        headers = {"X-AutoRx-Signature": sign_autorx(IN_USE, body, encoding)}
        if rotating:
            headers |= {"X-AutoRx-Signature-Next": sign_autorx(NEXT, body, encoding)}
    return Webhook(webhook_format, IN_USE, headers, body)


def with_headers(webhook, **changed):
    headers = {name.replace("_", "-"): value for name, value in changed.items()}
    return replace(webhook, headers={**webhook.headers, **headers})


def signature_of(webhook):
    (header,) = (value for name, value in webhook.headers.items() if "ignature" in name)
    return header


def damaged(text):
    return text[:-2] + ("0" if text[-2] != "0" else "1") + text[-1]


def genuine():
    yield from ((name, signed(name)) for name in FORMATS)
    yield "autorx in base64", signed("autorx", encoding="base64")
    yield "body with line ends", signed("scriptrun", body=b'{\r\n"id":"evt_1"}\n\n')
    yield "four minutes old", signed("scriptrun", at=MOMENT["now"] - 240)
    yield "four minutes old, standard", signed("standard", at=MOMENT["now"] - 240)
    extra = f"v0=0,{signature_of(signed('scriptrun'))},v2=0"
    yield "versions unknown here", with_headers(signed("scriptrun"), X_ScriptRun_Signature=extra)
    extra = f"v1a,AAAA {signature_of(signed('standard'))} v2,AAAA"
    yield "entries unknown here", with_headers(signed("standard"), webhook_signature=extra)


def rotating():
    for name in FORMATS:
        webhook = signed(name, rotating=True)
        yield f"{name}, secret in use", webhook
        yield f"{name}, next secret", replace(webhook, secret=NEXT)
    in_base64 = signed("autorx", rotating=True, encoding="base64")
    yield "autorx in base64, next secret", replace(in_base64, secret=NEXT)


def changed():
    for name in FORMATS:
        webhook = signed(name)
        yield f"{name}, first byte", replace(webhook, body=b"[" + BODY[1:])
        yield f"{name}, last byte", replace(webhook, body=BODY[:-1] + b"]")
        yield f"{name}, a byte more", replace(webhook, body=BODY + b"\n")
    header = damaged(signature_of(signed("scriptrun")))
    yield "scriptrun signature", with_headers(signed("scriptrun"), X_ScriptRun_Signature=header)
    header = damaged(signature_of(signed("autorx")))
    yield "autorx signature", with_headers(signed("autorx"), X_AutoRx_Signature=header)
    header = signature_of(signed("standard")).replace("v1,", "v1,A")
    yield "standard signature", with_headers(signed("standard"), webhook_signature=header)
    yield "standard id", with_headers(signed("standard"), webhook_id="evt_2")
    later = with_headers(signed("standard"), webhook_timestamp=f"{MOMENT['now'] + 1}")
    yield "standard timestamp", later
    header = signature_of(signed("scriptrun")).replace(f"{MOMENT['now']}", f"{MOMENT['now'] + 1}")
    yield "scriptrun timestamp", with_headers(signed("scriptrun"), X_ScriptRun_Signature=header)


def foreign():
    for name in FORMATS:
        yield name, replace(signed(name), secret=FOREIGN)
        yield f"{name}, rotating", replace(signed(name, rotating=True), secret=FOREIGN)


def stale():
    for name in ("scriptrun", "standard"):
        yield f"{name}, 301 s old", signed(name, at=MOMENT["now"] - 301)
        yield f"{name}, 301 s old, rotating", signed(name, at=MOMENT["now"] - 301, rotating=True)
        yield f"{name}, from the future", signed(name, at=MOMENT["now"] + 900)
    mac = hmac.digest(IN_USE.encode(), b"soon." + BODY, "sha256").hex()
    timeless = with_headers(signed("scriptrun"), X_ScriptRun_Signature=f"t=soon,v1={mac}")
    yield "scriptrun, signed with a timestamp that is no number", timeless


def unsigned():
    for name in FORMATS:
        yield f"{name}, no headers", replace(signed(name), headers={})
    yield "scriptrun, empty", with_headers(signed("scriptrun"), X_ScriptRun_Signature="")
    yield "scriptrun, nonsense", with_headers(signed("scriptrun"), X_ScriptRun_Signature=",=,v1,t")
    bare = with_headers(signed("scriptrun"), X_ScriptRun_Signature=f"t={MOMENT['now']},v1=")
    yield "scriptrun, empty signature", bare
    yield "standard, empty signature", with_headers(signed("standard"), webhook_signature="v1, ")


def cases():
    MOMENT["now"] = int(time.time())
    return [
        (group.__name__, name, webhook)
        for group in (genuine, rotating, changed, foreign, stale, unsigned)
        for name, webhook in group()
    ]


CASES = cases()


@pytest.fixture(scope="module")
def answers():
    """One run of every program for all the tests: runtime → group → case → was it accepted."""
    fresh = cases()
    return {
        runtime: grouped(fresh, accepted)
        for runtime, accepted in run_verifiers([webhook for _, _, webhook in fresh]).items()
    }


@pytest.fixture(scope="module")
def page_answers():
    missing = missing_program(SCRIPTRUN_PAGE)
    if missing is not None:
        pytest.skip(f"ScriptRun's own verifier is not run here: {missing} is not installed")
    fresh = [case for case in cases() if case[2].format == "scriptrun"]
    webhooks = [webhook for _, _, webhook in fresh]
    return grouped(fresh, run_verifier(SCRIPTRUN_PAGE, webhooks))


def grouped(cases, accepted):
    found: dict[str, dict[str, bool]] = {}
    for (group, name, _), answer in zip(cases, accepted, strict=True):
        found.setdefault(group, {})[name] = answer
    return found


def all_of(group, answer):
    return {name: answer for case_group, name, _ in CASES if case_group == group}


@pytest.fixture(params=[runtime for runtime in RUNTIMES if missing_program(runtime) is None])
def its_answers(request, answers):
    return answers[request.param]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_verifier_on_the_page_is_run(runtime, answers):
    missing = missing_program(runtime)
    if missing is not None:
        pytest.skip(f"the {runtime} verifier is not run here: {missing} is not installed")
    assert sum(map(len, answers[runtime].values())) == len(CASES)


def test_a_genuine_webhook_is_accepted(its_answers):
    assert its_answers["genuine"] == all_of("genuine", answer=True)


def test_a_webhook_is_accepted_with_either_secret_while_rotating(its_answers):
    assert its_answers["rotating"] == all_of("rotating", answer=True)


def test_one_changed_byte_is_refused(its_answers):
    assert its_answers["changed"] == all_of("changed", answer=False)


def test_another_secret_is_refused(its_answers):
    assert its_answers["foreign"] == all_of("foreign", answer=False)


def test_a_timestamp_more_than_five_minutes_off_is_refused(its_answers):
    assert its_answers["stale"] == all_of("stale", answer=False)


def test_a_webhook_without_a_signature_is_refused(its_answers):
    assert its_answers["unsigned"] == all_of("unsigned", answer=False)


def test_the_vendors_verifier_keeps_working_with_the_secret_in_use_while_rotating(page_answers):
    assert page_answers["genuine"]["scriptrun"] is True
    assert page_answers["rotating"] == {
        "scriptrun, secret in use": True,
        "scriptrun, next secret": False,  # it reads the last v1 only
    }


def test_the_vendors_verifier_refuses_what_is_changed_foreign_stale_or_unsigned(page_answers):
    accepted = {
        f"{group}: {name}"
        for group in ("changed", "foreign", "stale", "unsigned")
        for name, answer in page_answers[group].items()
        if answer
    }
    # Number("soon") is NaN, and NaN > 300 is false. Only we could sign such a timestamp.
    assert accepted == {"stale: scriptrun, signed with a timestamp that is no number"}


def test_the_vendors_verifier_is_on_the_page_verbatim():
    printed = (DATA / "verifiers" / "scriptrun_page.txt").read_text("utf-8")
    assert "".join(verifier_source(SCRIPTRUN_PAGE).split()) == "".join(printed.split())


def test_every_known_answer_is_on_the_page():
    page = PAGE.read_text("utf-8")
    for vector in json.loads((DATA / "signatures.json").read_text("utf-8"))["vectors"]:
        for field in ("secret", "body", "header"):
            assert f"`{vector[field]}`" in page
