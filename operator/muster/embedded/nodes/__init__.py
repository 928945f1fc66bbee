"""What stands beside an API server in a cluster: the scheduler, all kubelets, the node controllers, the racks.

The contract. They speak to the server as clients do, by requests and watches, do no I/O of their own and act only when
they are stepped: the same requests at the same times give the same history.
"""
