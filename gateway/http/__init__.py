"""HTTP: who may come in, what each address answers, and what an error looks like."""
