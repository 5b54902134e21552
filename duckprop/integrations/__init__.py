"""Other people's tools with the functions in them, each in a file of its own and thin."""
