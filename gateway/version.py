"""The version of this distribution; hatchling reads it too."""

__version__ = "0.1.0"
