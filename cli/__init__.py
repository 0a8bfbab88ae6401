"""The ``parked`` command: thin groups that parse, call a stage, print. Heavy imports live inside commands."""
