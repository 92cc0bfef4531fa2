"""Settings of ``[plugins.json_api]``."""

import msgspec


class JsonApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``updates_per_batch``: the most updates in one ``POST /api/delivery-events``; at least 1."""

    updates_per_batch: int = 100
