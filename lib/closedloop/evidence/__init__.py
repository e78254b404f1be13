"""Estimators without opinions, and the ledger of claims that every sentence rests on."""
