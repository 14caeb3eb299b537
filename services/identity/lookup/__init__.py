"""A Customer's data from the operator's own system: asked by signed HTTP, off the path of messages."""
