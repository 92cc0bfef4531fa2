"""Orders in: review, deduplicate, then package, event and deliveries in one transaction."""
