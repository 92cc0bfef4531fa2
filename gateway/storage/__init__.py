"""What is kept: the schema, the statements that use it, sealing and batching."""
