"""Who runs dispatch: this process, or workers on many machines."""
