"""Records that were given up: as they go to `deadletters`, as they come back, and the operator's command."""
