"""The core's own pages: a module for each family, with the same records as plugins' pages."""
