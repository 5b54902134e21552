"""Benchmarks of duckprop against naive scoring."""
