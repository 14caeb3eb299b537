"""conversation: the thread of each Customer, and the one Conversation that may be open in it."""
