"""Connect a shop: check its token and scopes, and subscribe to its webhooks."""

from typing import Any, Final

import msgspec

from gateway.plugin import Gateway, InvalidInput, to_epoch_ms
from gateway_shopify.admin_api import queries
from gateway_shopify.admin_api.client import AdminApi
from gateway_shopify.schema import SUBSCRIBED_TOPICS
from gateway_shopify.settings import ShopSettings
from gateway_shopify.shops import ShopDirectory

WEBHOOKS: Final = "/api/shopify/webhooks"
_PAGE: Final = 100
_NEEDED: Final = (
    "read_orders",
    "read_customers",
    "read_merchant_managed_fulfillment_orders",
    "write_merchant_managed_fulfillment_orders",
    "write_fulfillments",
)


class Subscribed(msgspec.Struct, frozen=True):
    """A topic and its subscription: ``new``, ``moved`` or ``kept``."""

    topic: str
    subscription: str


class Connected(msgspec.Struct, frozen=True):
    """A connected shop; ``missing_scopes`` are the access scopes that the app lacks."""

    shop: str
    name: str
    address: str
    missing_scopes: tuple[str, ...]
    topics: tuple[Subscribed, ...]


async def connect(
    gateway: Gateway,
    directory: ShopDirectory,
    admin_api: AdminApi,
    shop: ShopSettings,
    public_url: str | None = None,
) -> Connected:
    """Subscribe to a shop's webhooks; repeating it changes nothing.

    Raises ``InvalidInput`` if Shopify doesn't call the gateway's URL, and
    ``ShopUnreachable`` if the shop refuses.
    """
    address = (public_url or gateway.settings.gateway.public_url).rstrip("/") + WEBHOOKS
    if not address.startswith("https://"):
        raise InvalidInput(
            "Shopify only calls https URLs: set [gateway] public_url to the gateway's public "
            "URL, or give it with --url."
        )
    if not shop.can_be_called:
        raise InvalidInput(
            "There is no client_id for this shop in gateway.toml (and no access_token); copy it "
            "from the app's settings in the Dev Dashboard."
        )
    found = await admin_api.ask(shop, queries.SHOP, {})
    topics = await _subscribe(admin_api, shop, address)
    now = gateway.clock.now()
    await directory.connected(shop, now)
    row = await directory.row(shop.domain)
    if row.reconciled_to_ms is None:  # earlier orders are not to be delivered
        await directory.update(shop.domain, reconciled_to_ms=to_epoch_ms(now))
    return Connected(
        shop.domain, found["shop"]["name"], address, _missing(found, shop), tuple(topics)
    )


async def _subscribe(admin_api: AdminApi, shop: ShopSettings, address: str) -> list[Subscribed]:
    there = await _subscriptions(admin_api, shop)
    done: list[Subscribed] = []
    for topic in SUBSCRIBED_TOPICS:
        name = topic.replace("/", "_").upper()
        ours = [each for each in there if each["topic"] == name and each["uri"].endswith(WEBHOOKS)]
        wanted = {"uri": address, "format": "JSON"}
        if any(each["uri"] == address for each in ours):
            done.append(Subscribed(topic, "kept"))
        elif ours:
            variables = {"id": ours[0]["id"], "webhookSubscription": wanted}
            await admin_api.mutate(shop, queries.RESUBSCRIBE, variables)
            done.append(Subscribed(topic, "moved"))
        else:
            variables = {"topic": name, "webhookSubscription": wanted}
            await admin_api.mutate(shop, queries.SUBSCRIBE, variables)
            done.append(Subscribed(topic, "new"))
    return done


async def _subscriptions(admin_api: AdminApi, shop: ShopSettings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        variables = {"first": _PAGE, "after": cursor}
        page = (await admin_api.ask(shop, queries.SUBSCRIPTIONS, variables))["webhookSubscriptions"]
        found.extend(page["nodes"])
        if not page["pageInfo"]["hasNextPage"]:
            return found
        cursor = page["pageInfo"]["endCursor"]


def _missing(found: dict[str, Any], shop: ShopSettings) -> tuple[str, ...]:
    """Return the missing scopes; a write scope includes the read scope."""
    granted = {each["handle"] for each in found["currentAppInstallation"]["accessScopes"]}
    granted |= {each.replace("write_", "read_", 1) for each in granted}
    needed = (*_NEEDED, "write_orders") if shop.refund_on else _NEEDED
    return tuple(each for each in needed if each not in granted)
