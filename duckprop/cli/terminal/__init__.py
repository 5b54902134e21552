"""``duckprop sql`` on a terminal: a prompt with completion and history, results that fit, commands that help."""
