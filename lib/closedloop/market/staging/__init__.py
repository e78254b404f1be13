"""From raw files to canonical tables: read, checked, flagged, audited."""
