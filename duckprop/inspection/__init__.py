"""A model's quality card, made readable: what is known of it (describe), its network (drawing), a page (page)."""
