"""What ``[plugins.json_api]`` may say."""

import msgspec


class JsonApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``updates_per_batch`` bounds ``POST /api/delivery-events``; it is at least 1."""

    updates_per_batch: int = 100
