"""Cutting rows into segments: how many, how surely, and what they look like."""
