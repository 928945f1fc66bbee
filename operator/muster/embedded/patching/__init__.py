"""From an object and a patch to a new object: merge, JSON, strategic merge, and server-side apply with its managers.

The contract. `patches` and `apply.apply` take and give plain objects, change neither, and raise StatusError; what the
new object has to fulfil is not judged here.
"""
