"""What the notebooks would claim if nothing made a difference, and how well they have predicted."""
