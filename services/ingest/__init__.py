"""Takes providers' webhooks and visitors' messages, and has them in Kafka before it answers."""
