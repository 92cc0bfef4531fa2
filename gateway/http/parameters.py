"""Refuse query parameters that a route doesn't declare.

Otherwise a misspelt filter (``?stauts=created``) would be ignored, and the response would contain
more than requested.
"""

from collections.abc import Collection

from litestar import Request
from litestar.types import HTTPScope

from gateway.errors import InvalidInput, Problem


class DeclaredParameters:
    """The declared parameters of the routes under ``/api``; one object for each application.

    Not a guard of Litestar, which runs guards without ``await`` in a thread.
    """

    def __init__(self) -> None:
        self._declared: dict[int, Collection[str]] = {}

    def check(self, scope: HTTPScope) -> None:
        """Raise ``InvalidInput`` for an undeclared parameter, without its name and value."""
        if not scope["query_string"] or not scope["path"].startswith("/api/"):
            return
        handler = scope["route_handler"]
        declared = self._declared.get(id(handler))  # they live as long as the application
        if declared is None:
            model = handler.create_kwargs_model(path_parameters={})
            declared = {each.field_alias for each in model.expected_query_params}
            self._declared[id(handler)] = declared
        if all(name in declared for name in Request(scope).query_params):
            return
        names = ", ".join(sorted(declared)) or "none"
        text = f"unknown query parameter; this route takes: {names}"
        raise InvalidInput("The request has an unknown query parameter.", [Problem(text)])
