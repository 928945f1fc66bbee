"""Carries out what was decided, one task a job: commit the transition, then do what follows from it.

The contract. A worker never chooses a phase and keeps nothing that a crash could lose: what it remembers (`ledger`)
only spares requests. `commit` writes a transition by compare-and-set and, if the answer is lost, finds out instead of
writing blindly. `carry` performs `core.duties` of the committed status until none is left; every answer goes back
through the door as a Change, so that the duties shrink. `views` reads S2's consistent view for everybody at once,
`reaper` sweeps what jobs that are gone left behind, `topology` writes ClusterTopology.status. Before every request the
lease is checked (`tools.Gate`); once it is stale, or the process shuts down, nothing more is sent. `pool.Workers` is
the way in; `build.build` puts all of it together.
"""
