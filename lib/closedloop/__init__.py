"""Closed Loop: notebooks that close the cycle between marketing and sales with evidence."""
