"""One store for each table or group of tables: typed reads and writes."""
