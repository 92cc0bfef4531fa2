"""The nouns: frozen structs and pure rules, no I/O."""
