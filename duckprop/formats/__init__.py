"""Foreign artefacts → Network: one module a framework."""
