"""Files and plain values: written whole or not at all, locked, YAML and JSON read with care, paths, checks, wording. Knows no data."""
