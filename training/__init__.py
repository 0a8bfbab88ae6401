"""Interpretation: labels, outlier rules, models, their evaluation, the gate and the registry.

Reads features and labels, writes models, manifests and the published pointer; never facts or features.
``training.pipeline`` makes candidates and ``training.challenge`` decides what becomes of them: the two doors for the
command line and the monitoring loop.
"""
