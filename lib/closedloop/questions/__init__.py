"""The verbs that notebooks call, in the order of the notebooks."""
