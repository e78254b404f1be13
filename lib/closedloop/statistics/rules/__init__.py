"""Assignment rules that a person can read and a database can run."""
