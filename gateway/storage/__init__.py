"""The database: the schema, the statements that use it, sealing and batching."""
