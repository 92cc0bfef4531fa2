"""Retention by age, and erasure of patient data."""
