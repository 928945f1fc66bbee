"""A real control plane, built from Go modules, started and stopped by Python.

`build` makes (or finds) the binaries; `certs` and `config` write what the processes
read; `cluster.ControlPlane` starts, waits for, restarts and stops them. Nothing here
knows muster.
"""
