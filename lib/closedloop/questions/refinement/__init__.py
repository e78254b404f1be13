"""06 and 07: what the period teaches, and what changes in the next set."""
