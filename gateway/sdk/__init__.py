"""The parts of the public door that are defined nowhere else: records, protocols, helpers."""
