"""The page at ``/docs``: the OpenAPI document as one HTML page that needs nothing else."""

from collections.abc import Mapping
from typing import Any


def render_page(document: Mapping[str, Any]) -> str:
    """Return the page for ``document``."""
    return f"<!doctype html><title>{document['info']['title']}</title>"
