"""Comparisons, the families that they are judged in, and the ledger of claims that every sentence rests on."""
