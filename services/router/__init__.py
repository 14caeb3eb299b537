"""The router: which Agent gets which Conversation, decided in one place per pool, and explained."""
