"""Raw: what phones sent, accepted or refused for a stated reason, in an append-only log."""
