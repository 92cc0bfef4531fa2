"""The core's own pages: a module for each family, made of the records that plugins use."""
