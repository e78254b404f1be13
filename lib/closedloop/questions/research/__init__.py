"""01: is there a market, how is it cut, and whom do we aim at?"""
