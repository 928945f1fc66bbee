"""Muster on real kubelets: kind, the real image, the real chart.

Contract of this room: `python -m e2e.kind test` runs the tests here on a cluster of one control plane and three
workers, in one of two ways and with one set of tests. Where a Docker daemon runs that can pull kind's published node
image, that is all that is used. Elsewhere, as root on Debian, the node image is built from Debian packages and Go
modules (`node`), and a Docker daemon of our own runs in namespaces of its own (`private`): it has no way out of the
machine, and everything it made ends with it. What may outlive a run is the cache, in ~/.cache/muster.
"""
