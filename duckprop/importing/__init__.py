"""Foreign models → bundles: read, compared with their source, written down."""

from duckprop.importing.model import import_model

__all__ = ["import_model"]
