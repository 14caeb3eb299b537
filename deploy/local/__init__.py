"""The local stack: embedded servers, all services in one process, simulated providers."""
