"""The fields of an order from a label's lines and codes, by evidence. Pure."""
