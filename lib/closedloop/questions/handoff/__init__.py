"""04: what the two teams promised each other, and what became of the leads handed off."""
