"""What notebooks share: the situation of a period, records and how they are counted, persona sets and their history."""
