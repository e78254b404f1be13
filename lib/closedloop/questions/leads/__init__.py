"""03: how far leads come, what they cost, and whom to call first."""
