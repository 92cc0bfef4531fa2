"""Installed plugins before they are loaded: what their packages declare, and their faults."""
