"""The way to the Kubernetes API, and the only translator between its objects and the core's records.

`transport` is the seam: bytes in and out, over HTTP, in process, or with faults. On it stand `client`
(one attempt per write; reads retried), `reflector` (list and watch of one kind to Changes), `lease`
(who leads) and `events` (for people). `errors` classifies every refusal once; whoever calls acts on the
class, never on a code. `parse` and `render` translate; they never raise and never decide. `credentials`
is the only module that imports the kubernetes package. Clocks, sleep and randomness are parameters, so
that all of it runs in simulated time. Layer: may import telemetry, settings and core.
"""
