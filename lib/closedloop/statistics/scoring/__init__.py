"""Scores of leads and deals: learned on the past, judged on what came later."""
