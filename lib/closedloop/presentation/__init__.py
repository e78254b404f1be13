"""Claims as text, figures and tables: the only way in which a number reaches a reader."""
