"""Metrics, traces, log fields, and the shared Redis connection."""
