"""Stands in for the providers' sending APIs, over real HTTP. Exists only in the local stack."""
