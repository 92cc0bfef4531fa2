"""Who calls, and how often: API keys and rate limits."""
