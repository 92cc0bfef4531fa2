"""Outbound HTTP: permitted addresses, SSRF protection, the client."""
