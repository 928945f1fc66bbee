"""What muster wants: one policy a module. A policy decides; it never waits, logs or reads a clock.

`queueing` says in which order the waiting are looked at, and what keeps one of them from being put to the solver.
"""
