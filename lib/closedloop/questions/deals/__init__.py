"""05: who wins, like for like, for how much, and why deals are lost."""
