"""Simulated time: the operator, whole, and a cluster in one process, on a clock that jumps to what happens next.

What runs is the product itself (app, loop, workers, lease, reflectors for every kind in place of kopf) and the
embedded API server. The seam is `kube.transport`: `transport.InProcess` carries requests to the server,
`faulty.Faulty` around it is the only place of faults. `loop.VirtualLoop` refuses sockets, threads and processes, so
the same seed gives the same history, byte for byte. `world.World` holds cluster and operators, `deeds` is what may be
done to them; `history` is what the independent checker (`muster.safety`) judges and `words` prints. A `plan` is a
failing case in one line, `runs` are the stories that are disturbed, `trial` carries out a plan, `systematic` has
everything go wrong once. `python -m muster.sim` replays a plan.
"""
