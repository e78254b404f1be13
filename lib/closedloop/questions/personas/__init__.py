"""02: who they are, what they say, and how they buy."""
