"""Lambda: functions in Python run as child processes, one for each invocation; everything else is moto's."""

from __future__ import annotations

from mlplat.localcloud.lambdas.functions import Functions

__all__ = ["Functions"]
