"""Rules: when a person has to look at a prescription."""
