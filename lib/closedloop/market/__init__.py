"""A market: its definition, sources, contract, and the only way to read what was known when."""
