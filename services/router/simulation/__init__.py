"""A pool's day played in simulated time: a synthetic one, or a recorded one under another policy.

`day.Day` drives the engine's own `step` and nothing else decides; `scenario` and `synthetic` make a day up,
`recording` takes one from a journal, `measures` counts what became of it, `report` shows it.
"""
