"""How the libraries are loaded that the gateway is built on."""
