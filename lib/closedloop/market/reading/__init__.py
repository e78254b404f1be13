"""From the bytes of an export to records, and from what people wrote to values."""
