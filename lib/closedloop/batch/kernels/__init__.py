"""Warm kernels: each is forked from one process in which the heavy libraries are already imported."""
