"""The pure heart: what is known (world), what follows from it (plan), and nothing else.

No I/O, clock, randomness, threads or logging live here, and of third parties only numpy. The loop feeds
`Change`s to a `World`; `plan(world, now)` answers with `Transition`s, each one compare-and-set of one
job's status; `duties(world, job, now)` says which writes follow from what is committed and observed.
Times are integer milliseconds: persisted ones on the wall clock. Resources are integers in base units
(cpu in thousandths). Refusal is a value (`Verdict`), never an exception; core raises only for programming
errors. Read `lifecycle`, then `plan`, then one file of tests/scenarios.
"""
