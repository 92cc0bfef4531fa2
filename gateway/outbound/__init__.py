"""Calls to somebody else's server: which addresses may be called, and how it is done safely."""
