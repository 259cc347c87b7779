"""CloudWatch alarms on one metric, or on an expression over several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.cloudwatch import claim, tags_of, watched

MOST = 100
"""Names that DescribeAlarms takes (botocore: AlarmNames)."""

Description = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Alarm(Resource):
    """A metric alarm with a static threshold.

    What AWS makes special (API reference, PutMetricAlarm, DescribeAlarms):

    - PutMetricAlarm overwrites whatever has the name, and then ignores tags: those go by TagResource.
    - `period` is 10, 20, 30 or whole minutes; `period` times `periods` is a day at most, with periods of an hour
      and more seven days.
    - Percentiles are another parameter than the other statistics.
    - There are no tags in what DescribeAlarms answers.
    """

    kind: ClassVar[str] = "alarm"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    metrics: Sequence[Mapping[str, Any]]
    """Each with `namespace`, `name`, `dimensions` and `statistic`; an expression calls them m1, m2, ..."""
    expression: str = ""
    """Metric math; without it the one metric is compared."""
    threshold: float
    comparison: str = "GreaterThanThreshold"
    period: int = 300
    periods: int = 1
    datapoints: int = 1
    """How many of the periods must be beyond the threshold."""
    missing: str = "missing"
    """How periods without data count: missing, notBreaching, breaching, ignore."""
    actions: Sequence[str | Ref] = ()
    """ARNs that are told of an alarm."""
    ok_actions: Sequence[str | Ref] = ()
    description: str = ""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The alarm by its name, which is its id."""
        return next((_observed(aws, each) for each in _named(aws, [id or self.name])), None)

    @classmethod
    def prefetch(cls, aws: Session, ids: Mapping[str, str | None]) -> Mapping[str, Observed | None]:
        """One list of the namespace's alarms, and their tags, eight at once.

        What is not among them isn't there, unless somebody else's alarm has such a name: then it is looked at alone.
        """
        listed = list(aws.client("cloudwatch").pages("describe_alarms", "MetricAlarms", AlarmNamePrefix=_prefix(aws)))
        others = {id for id in ids.values() if id} - {each["AlarmName"] for each in listed}
        with ThreadPoolExecutor(max_workers=8) as pool:
            seen = list(pool.map(lambda each: _observed(aws, each), [*listed, *_named(aws, sorted(others))]))
        by_id = {each.id: each for each in seen}
        by_address = {(each.tags or {}).get("mlplat:address", ""): each for each in seen}
        found = {address: by_id.get(id or "") or by_address.get(address) for address, id in ids.items()}
        strange = any(each not in found.values() for each in seen)
        return {address: each for address, each in found.items() if each or ids[address] or not strange}

    def create(self, aws: Session) -> str:
        """PutMetricAlarm with tags; it begins without a state."""
        self._put(aws, Tags=tag_list(aws.tags))
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """All of it at once, and tags; its state stays."""
        if "tags" in changed:
            claim(aws, seen)
        if changed - {"tags"}:
            self._put(aws)

    def delete(self, aws: Session, id: str) -> None:
        """DeleteAlarms; AWS says nothing of a name that isn't there."""
        with aws.gone_is_fine():
            aws.client("cloudwatch").delete_alarms(AlarmNames=[id])

    def _put(self, aws: Session, **tags: Any) -> None:
        aws.client("cloudwatch").put_metric_alarm(
            AlarmName=self.name,
            AlarmDescription=self.description,
            **watched.request(self.metrics, self.expression, self.period),
            EvaluationPeriods=self.periods,
            DatapointsToAlarm=self.datapoints,
            Threshold=self.threshold,
            ComparisonOperator=self.comparison,
            TreatMissingData=self.missing,
            AlarmActions=list(self.actions),
            OKActions=list(self.ok_actions),
            **tags,
        )


def _prefix(aws: Session) -> str:
    return f"mlplat-{aws.namespace}-"


def _named(aws: Session, names: Sequence[str]) -> Iterator[Description]:
    for start in range(0, len(names), MOST):
        some = list(names[start : start + MOST])
        yield from aws.client("cloudwatch").describe_alarms(AlarmNames=some, MaxRecords=MOST)["MetricAlarms"]


def _observed(aws: Session, alarm: Description) -> Observed:
    name, arn, periods = alarm["AlarmName"], alarm["AlarmArn"], int(alarm["EvaluationPeriods"])
    fields = {
        "name": name,
        **watched.described(alarm),
        "threshold": alarm.get("Threshold"),
        "comparison": alarm["ComparisonOperator"],
        "periods": periods,
        "datapoints": int(alarm.get("DatapointsToAlarm") or periods),
        "missing": alarm.get("TreatMissingData") or "missing",
        "actions": alarm.get("AlarmActions", []),
        "ok_actions": alarm.get("OKActions", []),
        "description": alarm.get("AlarmDescription") or "",
    }
    return Observed(name, fields, {"name": name, "arn": arn}, tags_of(aws, arn))
