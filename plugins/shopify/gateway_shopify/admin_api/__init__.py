"""Shopify's Admin API: access tokens, queries, admin_api, and orders read back."""
