"""Calls: the configurable menu, and what a caller hears of it."""
