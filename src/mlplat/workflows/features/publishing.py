"""What became of an ingestion, as metrics: the alarms on failures and freshness, and the dashboard, go by them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from mlplat.errors import MlplatError
from mlplat.templates.feature_monitoring import OWN
from mlplat.workflows.features.groups import Schema
from mlplat.workflows.platform import Platform

EVERY = 60.0
"""Seconds between two publications of a long ingestion: CloudWatch keeps minutes."""


class Published:
    """The metrics of one ingestion, published while it runs. Not for several threads.

    That they couldn't be published never fails an ingestion: `problem` says why.
    """

    def __init__(self, platform: Platform, schema: Schema) -> None:
        self._platform, self._schema = platform, schema
        self._enabled = platform.settings.monitoring.feature_store.enabled
        self._written, self._told = 0, 0
        self._newest = ""
        self._last = monotonic()
        self._in_seconds = schema.features[schema.event_time].type == "Fractional"
        self.order: Callable[[str], Any] = _number if self._in_seconds else str
        """What tells which of two event times is newer: ISO 8601 in UTC sorts as text, but for parts of seconds."""
        self.problem: MlplatError | None = None

    def add(self, written: int, newest: str) -> None:
        """So many more records are written, none newer than the event time `newest`."""
        self._written += written
        if written:
            self._newest = max(self._newest, newest, key=self.order)

    def sometimes(self, failed: Callable[[], int]) -> None:
        """Publish when a minute has passed; `failed` counts the rows of this run that couldn't be written."""
        if monotonic() - self._last > EVERY:
            self.publish(failed())

    def publish(self, failed: int) -> None:
        """What is new since the last time."""
        self._last = monotonic()
        if not self._enabled or not (self._written or failed > self._told):
            return
        data = [self._datum("IngestedRecords", self._written), self._datum("FailedRecords", failed - self._told)]
        if self._written and self._newest:
            age = max(0.0, datetime.now(UTC).timestamp() - self._seconds(self._newest))
            data.append(self._datum("NewestRecordAge", age, unit="Seconds"))
        try:
            self._platform.session.client("cloudwatch").put_metric_data(Namespace=OWN, MetricData=data)
        except MlplatError as error:
            self.problem = error
        self._written, self._told, self._newest = 0, failed, ""

    def _datum(self, name: str, value: float, unit: str = "Count") -> dict[str, Any]:
        dimensions = [{"Name": "FeatureGroupName", "Value": self._schema.name}]
        return {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": unit}

    def _seconds(self, event_time: str) -> float:
        return float(event_time) if self._in_seconds else datetime.fromisoformat(event_time).timestamp()


def _number(event_time: str) -> float:
    return float(event_time or "-inf")
