"""``python -m duckprop``."""

from duckprop.cli import main

main()
