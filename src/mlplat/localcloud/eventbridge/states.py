"""SageMaker's own events: jobs, endpoints, feature groups, models and model packages that get another status.

Developer guide of SageMaker, "Events that Amazon SageMaker AI sends to Amazon EventBridge". All statuses change while
the region's lock is held, so they are compared whenever it is let go; not at all while no rule listens.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlplat.localcloud import wire
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import bus
from mlplat.localcloud.rules import Asked, after
from mlplat.localcloud.wire import Reply

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """How objects of a store are told of."""

    detail_type: str
    arn: str
    describe: str
    """The operation whose answer the detail is like."""
    statuses: tuple[str, ...] = ()
    """Members of which a change is an event; without any, only that the object is there."""


KINDS = {
    "training_jobs": Kind(
        "SageMaker Training Job State Change",
        "TrainingJobArn",
        "DescribeTrainingJob",
        ("TrainingJobStatus", "SecondaryStatus"),
    ),
    "tuning_jobs": Kind(
        "SageMaker HyperParameter Tuning Job State Change",
        "HyperParameterTuningJobArn",
        "DescribeHyperParameterTuningJob",
        ("HyperParameterTuningJobStatus",),
    ),
    "processing_jobs": Kind(
        "SageMaker Processing Job State Change",
        "ProcessingJobArn",
        "DescribeProcessingJob",
        ("ProcessingJobStatus",),
    ),
    "transform_jobs": Kind(
        "SageMaker Transform Job State Change", "TransformJobArn", "DescribeTransformJob", ("TransformJobStatus",)
    ),
    "endpoints": Kind("SageMaker Endpoint State Change", "EndpointArn", "DescribeEndpoint", ("EndpointStatus",)),
    "feature_groups": Kind(
        "SageMaker Feature Group State Change", "FeatureGroupArn", "DescribeFeatureGroup", ("FeatureGroupStatus",)
    ),
    "models": Kind("SageMaker Model State Change", "ModelArn", "DescribeModel"),
    "endpoint_configs": Kind(
        "SageMaker Endpoint Config State Change", "EndpointConfigArn", "DescribeEndpointConfig"
    ),
    "model_packages": Kind(
        "SageMaker Model Package State Change",
        "ModelPackageArn",
        "DescribeModelPackage",
        ("ModelPackageStatus", "ModelApprovalStatus"),
    ),
}  # fmt: skip

Seen = dict[tuple[str, str], tuple[Any, ...]]


class States:
    """Puts the state changes of a region's SageMaker on its default bus."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._seen: Seen | None = None
        """Statuses by store and name; None while nobody listens."""
        self._sender = ThreadPoolExecutor(1, "states")  # one: events keep their order
        cloud.lock.watch = self._look

    def beat(self, _now: datetime) -> None:
        """After a restart there are rules, and nobody has looked yet."""
        if self._seen is None and self._is_listened_to():
            with self._cloud.lock:
                pass

    def _look(self) -> None:
        if not self._is_listened_to():
            self._seen = None
            return
        before, now = self._seen, self._statuses()
        self._seen = now
        if before is None:
            return
        for (store, name), statuses in now.items():
            if before.get((store, name)) != statuses:
                self._tell(KINDS[store], self._cloud.store(store)[name])

    def _is_listened_to(self) -> bool:
        """Whether any rule is there; this is asked often."""
        models = sys.modules.get("moto.events.models")
        regions = models.events_backends.get(self._cloud.account) if models else None
        backend = regions.get(self._cloud.region) if regions else None
        return bool(backend and backend.event_buses["default"].rules)

    def _statuses(self) -> Seen:
        return {
            (store, name): tuple(thing.get(member) for member in kind.statuses)
            for store, kind in KINDS.items()
            for name, thing in self._cloud.store(store).items()
        }

    def _tell(self, kind: Kind, thing: Mapping[str, Any]) -> None:
        arn = thing[kind.arn]
        detail = detailed(kind, thing) | {"Tags": dict(self._cloud.tags.get(arn, {}))}
        self._sender.submit(self._put, kind.detail_type, arn, detail)

    def _put(self, detail_type: str, arn: str, detail: dict[str, Any]) -> None:
        try:
            bus.put(self._cloud, "aws.sagemaker", detail_type, [arn], detail)
        except Exception:
            log.exception("telling of %s", arn)


def detailed(kind: Kind, thing: Mapping[str, Any]) -> dict[str, Any]:
    """The detail: what Describe answers, with times in milliseconds, and an endpoint's status in capitals."""
    from moto.core.utils import get_service_model

    shape = get_service_model("sagemaker").operation_model(kind.describe).output_shape
    detail: dict[str, Any] = _plain(wire.pruned(thing, shape))
    if "EndpointStatus" in detail:
        detail["EndpointStatus"] = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", detail["EndpointStatus"]).upper()
    return detail


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else value


@after("events", "PutRule")
def from_now_on_somebody_listens(asked: Asked, _reply: Reply) -> None:
    """What is there now is no news."""
    with asked.cloud.lock:
        pass
