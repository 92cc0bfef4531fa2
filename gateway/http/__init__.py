"""The HTTP side: server, middleware, errors, health, metrics and the docs page."""
