"""A second world, written apart from the one the rules were tuned on, to measure on."""
