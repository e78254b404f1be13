"""Persona sets: the rule that assigns, where each persona comes from, and what changed."""
