"""Settings of ``[plugins.shopify]``, and the stored settings of a destination."""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gateway.plugin import DEFAULT_ACCOUNT

_DOMAIN: Final = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")
Names = tuple[Annotated[str, Meta(min_length=1)], ...]
RefundOn = Literal["delivery.failed", "delivery.returned", "package.cancelled"]


class ShopSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One shop: its credentials, and the meaning of attributes, tags and shipping methods.

    ``client_secret`` signs the shop's webhooks; ``previous_client_secret`` is accepted as well
    during a rotation. Calls to the shop use ``access_token`` if it is set (an older custom
    app), else a token that ``client_id`` and ``client_secret`` are exchanged for.
    """

    domain: str
    client_secret: str
    client_id: str | None = None
    previous_client_secret: str | None = None
    access_token: str | None = None
    account: str = DEFAULT_ACCOUNT
    site: str | None = None
    create_on: Literal["orders/create", "orders/paid"] = "orders/create"
    rx_number_from: Names = ("rx_number", "rx number", "rx", "prescription number")
    patient_id_from: Names = ("patient_id", "patient id")
    delivery_date_from: Names = ("delivery_date", "delivery date")
    notes_from: Names = ("delivery instructions",)
    stat: Names = ("stat",)
    urgent: Names = ("urgent", "same day", "same-day", "express")
    signature: Names = ("signature", "signature required")
    shipping_methods: Names = ()
    pickup_methods: Names = ("pickup", "pick up", "local pickup", "in-store pickup")
    skip_tags: Names = ()
    hold_tags: Names = ()
    refund_on: tuple[RefundOn, ...] = ()
    notify_customer: bool = False
    api_url: str | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` without the value; the part before the colon names the key."""
        if not _DOMAIN.fullmatch(self.domain):
            raise ValueError("domain: expected the shop's domain, such as lakeside.myshopify.com")
        if not self.client_secret:
            raise ValueError("client_secret: expected the app's client secret; it is empty")

    @property
    def base_url(self) -> str:
        """The base URL of the shop's Admin API; ``api_url`` overrides it in tests."""
        return (self.api_url or f"https://{self.domain}").rstrip("/")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The accepted signing secrets of webhooks."""
        found = (self.client_secret, self.previous_client_secret)
        return tuple(each for each in found if each)

    @property
    def can_be_called(self) -> bool:
        """Whether there are credentials for the shop's Admin API."""
        return bool(self.access_token or self.client_id)


class ShopifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shops, and the interval of their reconciliation."""

    shops: tuple[ShopSettings, ...] = ()
    reconcile_seconds: Annotated[float, Meta(ge=10)] = 900.0

    def __post_init__(self) -> None:
        """Refuse two shops with one domain: a webhook belongs to exactly one."""
        domains = [each.domain for each in self.shops]
        if len(set(domains)) != len(domains):
            raise ValueError("shops: two of them have the same domain; keep one")


class ShopDestination(msgspec.Struct, frozen=True):
    """The sink's own settings of a destination: its shop."""

    shop: str
