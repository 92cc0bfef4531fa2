"""Migrations, disk space, locks, and due times after a clock step."""
