"""The words of the page Shops: states of shops and orders, and their reasons."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway_shopify.held_orders import EXPLANATIONS
from gateway_shopify.shop_states import ShopState

Text = Callable[..., str]
"""Translates a sentence and fills in its values."""


class Said(NamedTuple):
    """A state: its colour (``ok``, ``warn``, ``bad`` or none), its glyph, its words, the remedy."""

    s: str
    glyph: str
    words: str
    more: str = ""


def shop_said(shop: ShopState, text: Text) -> Said:
    """Return the state of a shop in words, and the remedy."""
    if shop.state == "uninstalled":
        more = text("Its orders don't arrive. Install the app in the shop again, then connect it:")
        return Said("bad", "s-fail", text("The shop removed the app"), more)
    if shop.state == "no_credentials":
        more = text(
            "Only webhooks arrive, and missed ones are lost. Set client_id in gateway.toml."
        )
        return Said("warn", "s-warn", text("Can't be called"), more)
    if shop.state == "not_connected":
        return Said("warn", "s-wait", text("Not connected yet"), text("Register its webhooks:"))
    if shop.state == "failing":
        more = text("It is tried again by itself: {error}", error=error_said(shop.last_error, text))
        return Said("warn", "s-warn", text("Doesn't answer"), more)
    return Said("ok", "s-done", text("Connected"))


def error_said(error: str | None, text: Text) -> str:
    """Return the failure of a request to the shop in words."""
    known = {
        "timeout": text("no answer in time"),
        "connect": text("no connection"),
        "dns": text("its host name was not found"),
        "no_token": text("it grants no token: check client_id and client_secret"),
        "no_credentials": text("there are no credentials for it"),
        "unauthorized": text("it refuses the token: is the app still installed?"),
        "throttled": text("it asks for fewer calls"),
        "bad_response": text("its answer is malformed"),
    }
    return known.get(error or "", error or "")


def updates_said(shop: ShopState, text: Text) -> Said:
    """Return in words whether the shop gets delivery updates."""
    known = {
        "shop_not_configured": text("it isn't in gateway.toml"),
        "app_uninstalled": text("the shop removed the app"),
        "no_credentials": text("there are no credentials for it"),
        "paused": text("a person paused it"),
        "disabled": text("a person disabled it"),
        "failing": text("it failed for days"),
    }
    if shop.updates_stopped is None:
        return Said("", "s-done", text("The shop learns of deliveries"))
    why = known.get(shop.updates_stopped, shop.updates_stopped)
    return Said("warn", "s-hold", text("The shop doesn't learn of deliveries: {why}", why=why))


def order_said(order: Mapping[str, Any], text: Text) -> Said:
    """Return the state of an order in words, and the reason."""
    why = text(EXPLANATIONS.get(order["reason"] or "", ""))
    if order["flagged"]:
        return Said("warn", "s-warn", text("Has a package, needs a person"), why)
    state = order["state"]
    if state == "held":
        return Said("warn", "s-hold", text("Held: no package"), why)
    if state == "waiting":
        return Said("", "s-wait", text("Waits"), why)
    if state == "skipped":
        return Said("", "s-off", text("No package needed"), why)
    if state == "cancelled":
        return Said("", "s-off", text("Cancelled"), why)
    return Said("ok", "s-done", text("Has a package"), why)


def topic_said(topic: str, text: Text) -> str:
    """Return the kind of a privacy request in words."""
    known = {
        "customers/data_request": text("A customer asks for their data"),
        "customers/redact": text("A customer's data is to be erased"),
        "shop/redact": text("The whole shop's data is to be erased"),
    }
    return known.get(topic, topic)
