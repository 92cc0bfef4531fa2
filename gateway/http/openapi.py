"""The OpenAPI document: Litestar's, plus the bodies that routes declare.

A route that decodes its own body (to check each item alone, or to verify a signature over the
bytes) declares it in its ``opt``:

- ``body``: the type of the request body, for the document;
- ``answer``: the type of the successful response.
"""

from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

from gateway.errors import Problem
from gateway.sdk.http import json_response
from gateway.version import __version__

_PUBLIC: Final = {"public": True}
_REF: Final = "#/components/schemas/{name}"


class ErrorAnswer(msgspec.Struct):
    """The error shape of every refusal."""

    error: str
    code: str
    details: list[Problem]


def openapi_config() -> OpenAPIConfig:
    """Return the settings of Litestar's part of the document."""
    key = SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header")
    return OpenAPIConfig(
        title="Pharmacy integration gateway",
        version=__version__,
        # Litestar's pages load scripts from a CDN; docs_router replaces them.
        openapi_router=Router("/docs/raw", route_handlers=[], opt=_PUBLIC, include_in_schema=False),
        render_plugins=[],
        components=Components(security_schemes={"api_key": key}),
        security=[{"api_key": []}],
        use_handler_docstrings=True,
    )


def docs_router() -> Router:
    """Make ``/docs`` and ``/openapi.json``, rendered once; neither needs the internet."""
    cache: dict[str, Any] = {}

    def described(app: Litestar) -> dict[str, Any]:
        if "document" not in cache:
            cache["document"] = openapi_document(app)
        document: dict[str, Any] = cache["document"]
        return document

    @get("/openapi.json", opt=_PUBLIC, sync_to_thread=False)
    def document(request: Request[Any, Any, Any]) -> Response[bytes]:
        return json_response(described(request.app))

    @get("/docs", opt=_PUBLIC, media_type="text/html", sync_to_thread=False)
    def page(request: Request[Any, Any, Any]) -> Response[str]:
        from gateway.http.docs.page import render_page  # with the first reader of the page
        from gateway.http.docs.style import POLICY

        if "page" not in cache:
            cache["page"] = render_page(described(request.app))
        policy = {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'"}
        return Response(cache["page"], media_type="text/html", headers=policy)

    return Router("/", route_handlers=[document, page], include_in_schema=False)


def openapi_document(app: Litestar) -> dict[str, Any]:
    """Return the whole document as plain data."""
    document: dict[str, Any] = app.openapi_schema.to_schema()
    named: list[type] = [ErrorAnswer]
    described: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                described.append((operation, handler.opt))
                named.extend(handler.opt[key] for key in ("body", "answer") if key in handler.opt)
    schemas, components = msgspec.json.schema_components(named, ref_template=_REF)
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    by_type = dict(zip(named, schemas, strict=True))
    for operation, options in described:
        _describe(operation, options, by_type)
    return document


def _describe(
    operation: dict[str, Any], options: dict[str, Any], schemas: dict[type, dict[str, Any]]
) -> None:
    if options.get("public"):
        operation["security"] = []
    if "body" in options or "media" in options:
        first, *others = options.get("media", ("application/json",))
        shape = {"schema": schemas[options["body"]]} if "body" in options else {}
        content = {first: shape} | {media: {} for media in others}
        operation["requestBody"] = {"required": True, "content": content}
    responses = operation.setdefault("responses", {})
    for status, response in responses.items():
        if status.startswith("2") and "answer" in options:
            response["content"] = _json(schemas[options["answer"]])
        elif not status.startswith("2"):
            response["content"] = _json(schemas[ErrorAnswer])
    responses.setdefault(
        "default", {"description": "Refused", "content": _json(schemas[ErrorAnswer])}
    )


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
