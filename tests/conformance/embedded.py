"""`muster.embedded` over HTTP in a thread of this process."""
