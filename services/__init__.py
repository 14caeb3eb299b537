"""Parley's five services and the chassis they share."""
