"""How the gateway is: what works, what does not, and the command that helps."""
