"""Sealing: envelope encryption, keyrings, and re-encryption under a new key."""
