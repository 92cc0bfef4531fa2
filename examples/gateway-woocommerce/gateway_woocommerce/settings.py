"""What ``[plugins.woocommerce]`` may say."""

import msgspec


class WooCommerceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``secrets`` sign the webhook: two while one replaces the other. ``site`` takes the orders."""

    secrets: tuple[str, ...]
    site: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could never work; the part before the colon names the key."""
        if not self.secrets or not all(self.secrets):
            raise ValueError("secrets: expected at least one, and none that is empty")
