"""The page at /docs: the OpenAPI document as HTML that needs no network."""
