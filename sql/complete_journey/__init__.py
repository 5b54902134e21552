"""The Complete Journey task in SQL.

In this order: sources, demographics, visits, windows, features; support for each training date; vocabulary; customers
for each date; labels, baselines. ``duckprop.demo.task`` runs them so; they also run by hand in any DuckDB shell after
``SET VARIABLE data_folder = '...'`` and, for each date, ``SET VARIABLE as_of = DATE '...'``.
"""
