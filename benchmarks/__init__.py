"""Benchmarks of duckprop against naive scoring: same rows, answers compared first, then interleaved runs.

README.md beside this file says what each side is and what the traps are; ``duckprop bench`` runs it.
"""
