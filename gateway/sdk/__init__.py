"""Records, protocols, and HTTP and command-line tools that :mod:`gateway.plugin` offers plugins."""
