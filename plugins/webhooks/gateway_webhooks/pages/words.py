"""The pages' words for endpoints, deliveries and responses. Pure; each text is translated."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from gateway.plugin import Attempt, Backlog, Delivery, Destination

Text = Callable[..., str]
"""Translates a sentence and fills in its values."""


class Shown(NamedTuple):
    """A state: its colour (``ok``, ``warn``, ``bad`` or none), its glyph and its words."""

    s: str
    glyph: str
    words: str
    more: str = ""


def answer(attempt: Attempt, text: Text) -> Shown:
    """Return the result of an attempt in words."""
    words = status_words(attempt.status) if attempt.status else failure(attempt.error, text)
    if attempt.status and attempt.error:
        words = f"{words}: {failure(attempt.error, text)}"
    if attempt.delivered:
        return Shown("ok", "s-done", words or text("Delivered"))
    return Shown("bad", "s-fail", words or text("Failed"))


def status_words(status: int) -> str:
    """Return a status with its usual name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def failure(error: str | None, text: Text) -> str:
    """Return a failure in a few words."""
    if error is None:
        return ""
    if error.startswith("tls"):
        return text("No secure connection")
    known = {
        "timeout": text("No answer in time"),
        "connect": text("No connection"),
        "unreachable": text("No connection"),
        "dns": text("Host name not found"),
        "closed_early": text("Connection closed early"),
        "bad_answer": text("Not an HTTP answer"),
        "body_cut": text("Answer cut off"),
        "body_invalid": text("Answer malformed"),
        "body_late": text("Answer too slow"),
        "bad_request": text("A header can't be sent"),
        "refused_address": text("Address not allowed"),
        "proxy": text("Proxy failed"),
        "stopped": text("Gateway stopped meanwhile"),
        "unreadable": text("Event unreadable"),
    }
    return known.get(error, error)


def delivery_state(delivery: Delivery, text: Text) -> Shown:
    """Return the state of a delivery in words."""
    if delivery.state == "delivered":
        return Shown("ok", "s-done", text("Delivered"))
    if delivery.state == "exhausted":
        if delivery.reason == "removed":
            return Shown("", "s-fail", text("Endpoint removed"))
        return Shown("bad", "s-fail", text("Exhausted"))
    waits = {
        "paused": text("Waits: endpoint paused"),
        "disabled": text("Waits: endpoint disabled"),
        "breaker_open": text("Waits: endpoint failing"),
    }
    if delivery.reason in waits:
        return Shown("warn", "s-hold", waits[delivery.reason])
    if delivery.attempts:
        return Shown("warn", "s-wait", text("Failed, attempted again"))
    return Shown("", "s-wait", text("Waiting"))


def health(
    endpoint: Destination, waiting: Backlog, *, clock: Callable[[datetime], str], text: Text
) -> Shown:
    """Return an endpoint's health in words, and the next step. ``clock`` formats times of today."""
    if endpoint.state != "active":
        return _stopped(endpoint, waiting, text)
    breaker, since = endpoint.breaker, endpoint.failing_since
    failing = text("Failing since {time}.", time=clock(since)) if since else ""
    if breaker.opened_at is not None:
        head = text("Paused after {n} failures", n=breaker.failures)
        return Shown("bad", "s-hold", head, f"{failing} {_probe(endpoint, waiting, clock, text)}")
    if since is not None:
        more = text("Each delivery is attempted again, at growing intervals.")
        return Shown("warn", "s-warn", text("Its last answers were errors"), f"{failing} {more}")
    if breaker.held_until is not None:
        more = text("It goes on at {time}.", time=clock(breaker.held_until))
        return Shown("", "s-hold", text("Its server asked for a pause"), more)
    if endpoint.last_success_at is None:
        more = text("Send a test to see that it answers.")
        return Shown("", "s-wait", text("Nothing sent yet"), more)
    return Shown("ok", "s-done", text("Works"), text("Everything that was sent has arrived."))


def _probe(
    endpoint: Destination, waiting: Backlog, clock: Callable[[datetime], str], text: Text
) -> str:
    held, others = endpoint.breaker.held_until, max(0, waiting.total - 1)
    values: dict[str, Any] = {"n": others}
    if held is None:
        return text("One delivery tries the way; if it works, the other {n} follow.", **values)
    return text(
        "One delivery tries the way at {time}; if it works, the other {n} follow at once.",
        time=clock(held),
        **values,
    )


def _stopped(endpoint: Destination, waiting: Backlog, text: Text) -> Shown:
    if endpoint.state == "paused":
        more = text("Nothing is sent. {n} deliveries wait until it is resumed.", n=waiting.total)
        return Shown("warn", "s-hold", text("Paused by a person"), more)
    later = text("Nothing is sent. What it misses can be recovered when it is enabled again.")
    if endpoint.state_reason == "gone":
        return Shown("bad", "s-fail", text("Disabled: its server says it is gone"), later)
    if endpoint.state_reason == "failing":
        return Shown("bad", "s-fail", text("Disabled after days of failures"), later)
    return Shown("", "s-hold", text("Disabled by a person"), later)


def advice(attempt: Attempt, text: Text) -> str:
    """Return the meaning of a response and the remedy; empty where it is obvious."""
    if attempt.delivered:
        return ""
    if attempt.status is None:
        return _advice_of_error(attempt.error or "", text)
    known = {
        401: text("Their server refuses the request: check the secret and its own log."),
        403: text("Their server refuses the request: check the secret and its own log."),
        404: text("Nothing is at this address: check the URL."),
        405: text("Their server takes no POST at this address: check the URL."),
        410: text("Their server says that nothing is here any more."),
        413: text("The body is too large for their server."),
        429: text("Their server asks for fewer requests: a slower pace helps."),
        502: text("What stands before their program got no answer: it is down or starting."),
        503: text("Their server is too busy, or down for maintenance."),
        504: text("What stands before their program got no answer in time."),
    }
    if attempt.status in known:
        return known[attempt.status]
    if attempt.status < 400:  # noqa: PLR2004 - a redirect
        return text("A redirect is never followed: put the address it leads to into the URL.")
    if attempt.status < 500:  # noqa: PLR2004 - their refusal
        return text("Their server refuses the request; its log says why.")
    return text("Their server failed; its log says why.")


def _advice_of_error(error: str, text: Text) -> str:
    if error.startswith("tls"):
        return text("Its certificate or its encryption is at fault; the log has the reason.")
    known = {
        "timeout": text("Their server took too long: it should answer first and work afterwards."),
        "connect": text("Their server is down, or a firewall is in between."),
        "dns": text("The host name of the URL has no address: check it for a typing error."),
        "refused_address": text("The host leads into a private network, which isn't allowed."),
        "proxy": text("The proxy of this gateway did not open a connection."),
        "closed_early": text("Their server closed the connection before it answered."),
    }
    return known.get(error, "")


def routing_names(text: Text) -> dict[str, str]:
    """Return the names of an event's routing facts, with their possible values."""
    return {
        "controlled": text("Controlled drug: yes, no, unknown"),
        "priority": text("Priority: routine, urgent or stat"),
        "requires_signature": text("Signature required: true or false"),
        "source": text("Where the prescription came from"),
    }


def group_names(text: Text) -> dict[str, str]:
    """Return the names of the field groups of a patient."""
    return {
        "identity": text("identity"),
        "contact": text("contact"),
        "rx": text("prescription"),
        "money": text("money"),
        "image": text("image"),
        "proof": text("proof"),
    }
