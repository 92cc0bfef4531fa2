"""The dashboard: server-rendered pages, their layout, headers and languages."""
