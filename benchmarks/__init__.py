"""Measurements, each rerunnable by one command; never run as timed tests."""
