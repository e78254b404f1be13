"""Estimators without opinions: numbers and frames go in and come out."""
