"""Events to integrators by webhook (https://www.standardwebhooks.com, version 1.0.0)."""
