"""Plumbing the five services share. It takes values and Protocols, and imports no service."""
