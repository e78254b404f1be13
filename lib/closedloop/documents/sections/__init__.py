"""How each step answers its questions: one module per step, and the catalogue of them all."""
