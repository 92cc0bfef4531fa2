"""Shopify's Admin API: access tokens, queries, calls, and orders read back."""
