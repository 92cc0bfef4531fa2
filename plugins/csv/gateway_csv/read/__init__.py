"""From a file's bytes to rows: type, encoding, dialect, sheets, and where the table is."""
