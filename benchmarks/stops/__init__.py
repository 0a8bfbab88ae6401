"""Stops against truth: a generator of phones whose stays are known, and how they are scored."""
