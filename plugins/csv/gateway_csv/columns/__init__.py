"""From columns to fields: headers, dates, addresses, and values in cells."""
