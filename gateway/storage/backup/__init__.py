"""Backups: one encrypted file, written while the gateway serves, restored only if complete."""
