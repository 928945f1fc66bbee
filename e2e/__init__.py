"""End-to-end tests of muster against a real Kubernetes control plane.

Contract of this room: it uses the operator only as a process and through the API; it
imports nothing from the package `muster`. The control plane is real (etcd,
kube-apiserver, kube-scheduler, kube-controller-manager, built from Go modules);
kubelets are stood in for by `e2e.kubelet`. Everything listens on loopback, lives in one
temporary directory and dies with the process that started it.
"""
