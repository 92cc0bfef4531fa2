"""The page at /docs: the OpenAPI document, rendered here, without a network."""
