"""What may be seen of one period: records as known on a day, how they are counted, and what a step leaves behind."""
