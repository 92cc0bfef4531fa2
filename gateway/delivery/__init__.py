"""Events out: publish, dispatch, retry, circuit breaker, expiry, and the engines."""
