"""A recorded day, played on the running stack, and what became of it."""
