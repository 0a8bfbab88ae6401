"""Tests of the benchmarks' own arithmetic: truth, score, peers' rules."""
