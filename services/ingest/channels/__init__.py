"""One module a provider: pure `verify` and `parse`."""
