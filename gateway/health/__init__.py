"""The gateway's health: the state of each part, and the command that helps."""
