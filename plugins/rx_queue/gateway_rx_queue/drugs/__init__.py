"""The drug catalog: loading Health Canada's extract, and look-ups."""
