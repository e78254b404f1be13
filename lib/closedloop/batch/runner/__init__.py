"""How cells are run: a process forked from a warm parent, and ordinary kernels for the rest."""
