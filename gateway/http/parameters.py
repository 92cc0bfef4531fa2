"""Refuse query parameters that a route doesn't declare.

A misspelt filter (``?stauts=created``) would else be ignored, and the answer would hold more
than was asked for.
"""

from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.errors import InvalidInput, Problem


class DeclaredParameters:
    """A guard for the routes under ``/api``; one for each application."""

    def __init__(self) -> None:
        self._declared: WeakKeyDictionary[BaseRouteHandler, Collection[str]] = WeakKeyDictionary()

    def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Raise ``InvalidInput`` for an undeclared parameter, without its name and value."""
        if not connection.scope["query_string"] or not connection.url.path.startswith("/api/"):
            return
        declared = self._declared.get(handler)
        if declared is None:
            model = handler.create_kwargs_model(path_parameters={})
            declared = {each.field_alias for each in model.expected_query_params}
            self._declared[handler] = declared
        if all(name in declared for name in connection.query_params):
            return
        names = ", ".join(sorted(declared)) or "none"
        text = f"unknown query parameter; this route takes: {names}"
        raise InvalidInput("The request has an unknown query parameter.", [Problem(text)])
