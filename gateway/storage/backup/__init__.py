"""Backups: written while serving, one encrypted file, restored only when whole."""
