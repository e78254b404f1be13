"""The verbs of the notebooks: each takes frames and column names, and returns an answer."""
