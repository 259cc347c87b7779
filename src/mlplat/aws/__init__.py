"""The one way to AWS: a session with lazy clients, retries that never make duplicates, waits, and our errors.

boto3's own retries are off, because a repeated create makes a second object when the first answer was lost.
Reads are repeated freely; other calls only when AWS says that it did nothing (throttling) or when the
connection was never made. When the outcome of a call is unknown, `OutcomeUnknown` tells the reconciler to look.
"""

from mlplat.aws.client import READS, Client
from mlplat.aws.session import Session
from mlplat.aws.tags import tag_list, tag_map
from mlplat.aws.translation import is_absent, translated

__all__ = [
    "READS",
    "Client",
    "Session",
    "is_absent",
    "tag_list",
    "tag_map",
    "translated",
]
