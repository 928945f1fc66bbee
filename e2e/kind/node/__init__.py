"""A node image for kind without an image registry: Debian packages, Kubernetes from Go modules, kind's own files.

`python -m e2e.kind node-image` (or `make kind-node-image`) makes it. The parts: `parts` gathers what is put in, the
Dockerfiles here put it together, `image` runs them and loads the components' images into the node's containerd.
"""
