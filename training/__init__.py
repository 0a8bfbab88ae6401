"""Interpretation: labels, outlier rules, models, their evaluation, the gate and the registry.

Reads features and labels, writes models, manifests and the published pointer; never facts or features.
``training.pipeline`` is the one door for the command line and the monitoring loop.
"""
