"""Rules: when a prescription needs review."""
