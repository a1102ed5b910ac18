"""Benchmarks: never part of the tests, always ratios of what ran side by side."""
