"""Objects in memory and who watches them: one revision counter, a bounded history, snapshots of the past, selectors.

The contract. An object's bytes are kept as they are sent; what is stored is never changed in place, so lists, snapshots
and watches share it. A revision is given once; what is older than the history raises Expired.
"""
