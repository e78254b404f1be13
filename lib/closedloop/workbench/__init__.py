"""What a notebook stands on: the open period, its frames, answers, families and files."""
