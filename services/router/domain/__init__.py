"""The pure engine of one pool: no I/O, no clock, no randomness.

`engine.step(pool, input, now)` is the whole of it; `snapshot` turns a pool into a plain document and back.
"""
