"""What a label's lines and codes say of an order, by evidence. Pure."""
