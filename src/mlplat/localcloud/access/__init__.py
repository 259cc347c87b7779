"""Who may do what, where IAM is enforced: roles' own credentials, what an operation needs, and the refusal."""

from __future__ import annotations

from mlplat.localcloud.access.sessions import Actors, acting

__all__ = ["Actors", "acting"]
