"""The door: reflectors, kopf, our lists and the answers to our own writes become Changes here, and nowhere else.

The same news arrives more than once and out of order: a watch after the answer to a write, kopf's watch after our list,
a late record after a deletion. `door` lets pass only what is news, so that the world never goes backwards: a record
that is not newer than the one held, one equal to it, and any record of a uid that was seen gone are dropped. `lists`
reads whole kinds consistently; what such a list does not contain is gone, unless the held record is newer than the
list. A kind that is not served at all says nothing about its objects. `inputs` follows what only admission depends on,
`sources` says where each kind is found.
resourceVersions are compared as integers, which Kubernetes promises from 1.35 on (KEP-5504).
"""

from muster.feeds.door import Door
from muster.feeds.lists import Lists, OwnKinds
from muster.feeds.sources import SOURCES, Source

__all__ = ["SOURCES", "Door", "Lists", "OwnKinds", "Source"]
