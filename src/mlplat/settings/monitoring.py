"""Monitoring: what endpoints capture, what the feature store raises an alarm for, and who is written to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlplat.settings.problems import matching
from mlplat.settings.section import Section

Email = Annotated[str, matching(r"[^\s@]+@[^\s@]+\.[^\s@.]+", "an e-mail address")]
Threshold = Annotated[int, Field(ge=1)]
_NAMESPACE = "a namespace of CloudWatch: up to 255 characters, not beginning with a colon"


class FeatureStoreMonitoring(Section):
    """Alarms for every feature group, and a dashboard."""

    enabled: bool = False
    period_minutes: Annotated[int, Field(ge=1, le=60)] = 5
    errors: Threshold = 1
    """Calls in a period that fail."""
    throttles: Threshold = 10
    """Calls in a period that AWS turns away because there are too many."""
    latency_ms: Annotated[int, Field(ge=1, le=60_000)] = 200
    """Milliseconds that one call in a hundred takes longer than, three periods in a row."""
    failed_records: Threshold = 1
    """Records in a period that an ingestion couldn't write."""
    metrics: Annotated[str, matching(r"[^:].{0,254}", _NAMESPACE)] = "AWS/SageMaker/FeatureStore"
    """Where AWS publishes the feature store's metrics: its documentation names them, but not their namespace."""


class Monitoring(Section):
    """What is watched."""

    enabled: bool = False
    """Endpoints capture what they are asked and answer."""
    capture_percentage: Annotated[int, Field(ge=0, le=100)] = 100
    emails: list[Email] = []
    """Who gets mail when an alarm goes off."""
    feature_store: FeatureStoreMonitoring = FeatureStoreMonitoring()
