"""The live feed: what happens, sent to Agents and visitors as it happens."""
