"""The contracts between Parley's services: pydantic and the standard library only."""
