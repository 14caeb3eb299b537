"""The operator's rules: when this event and these conditions, then these actions."""
