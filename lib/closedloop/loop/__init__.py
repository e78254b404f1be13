"""The loop: one module per notebook, and ``turn``, which computes a whole moment of a period."""
