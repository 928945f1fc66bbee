"""End-to-end tests of muster, against a real Kubernetes control plane or the embedded one (--server).

Contract of this room: it uses the operator only as a process and through the API; of the
package `muster` it imports no more than what the embedded cluster knows of fake pods and
racks. The real control plane is etcd, kube-apiserver, kube-scheduler and
kube-controller-manager, built from Go modules; kubelets are stood in for by
`e2e.kubelet` beside either. Everything listens on loopback, lives in one temporary
directory and dies with the process that started it.
"""
