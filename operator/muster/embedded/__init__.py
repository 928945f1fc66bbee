"""A Kubernetes API server in one Python process, for demos, tests and the simulator.

It keeps objects in memory and loses them when it ends; it authenticates nobody beyond one bearer token. What it does it
does as the real server does, down to the words of its refusals, so that clients cannot tell the difference in what they
use; what it does not do it refuses with a Status that says so. `server.Server` does no I/O and reads no clock but the
one it is given: the same calls give the same bytes. `http` serves it to others.
"""
