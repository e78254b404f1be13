"""The batch: markets x periods as a graph of runs, executed, recorded and shown."""
