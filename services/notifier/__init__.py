"""notifier: sends replies to providers, and shows what happens as it happens."""
