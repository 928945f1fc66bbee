"""Muster: a gang scheduler for Kubernetes clusters of NVLink racks."""
