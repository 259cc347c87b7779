"""What tells that the feature store is well: alarms for every group, a topic that they go to, a dashboard.

What AWS publishes of single records goes by group and operation; of BatchGetRecord and BatchWriteRecord, by which
mlplat itself reads and writes, by operation alone: those alarms are about all groups of the account. What became of an
ingestion mlplat publishes itself. (Developer guide, "Amazon SageMaker Feature Store metrics".)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlplat.resources import Alarm, Dashboard, Topic
from mlplat.resources.base import Declared, Ref
from mlplat.templates.permissions import KEY, document
from mlplat.templates.place import Place
from mlplat.templates.versions import FEATURE_STORE as NAME

if TYPE_CHECKING:
    from mlplat.settings import FeatureGroup, Settings
    from mlplat.settings.monitoring import FeatureStoreMonitoring

OWN = "mlplat/FeatureStore"
"""The namespace of the metrics that mlplat publishes, by FeatureGroupName: `IngestedRecords`, `FailedRecords` (Count)
and `NewestRecordAge` (Seconds)."""
TOPIC = f"{NAME}.topic.alarms"
READS, WRITES = "GetRecord", "PutRecord"
PER_DASHBOARD = 80
"""Groups on one dashboard, which has up to 500 widgets."""
AT_LEAST = "GreaterThanOrEqualToThreshold"

Metric = dict[str, Any]


def monitoring(settings: Settings, place: Place, names: Mapping[str, str]) -> Iterator[Declared]:
    """Nothing unless it is enabled. `names` are the groups' names on AWS, by their names in the settings."""
    if not settings.monitoring.feature_store.enabled or not names:
        return
    yield Declared(TOPIC, _topic(settings, place))
    shown = []
    for group, name in names.items():
        alarms = _alarms(settings.monitoring.feature_store, settings.feature_groups[group], name)
        declared = [_declared(place, f"{group}_{what}", alarm) for what, alarm in alarms.items()]
        yield from declared
        shown.append((group, name, [each.resource.name for each in declared]))
    for what, alarm in _of_batches(settings.monitoring.feature_store).items():
        yield _declared(place, f"account_{what}", alarm)
    for name, spec in settings.transformations.items():
        if spec.engine == "processing":  # Glue publishes nothing of Python shell jobs
            yield _declared(place, f"transformation_{name}_failed", _failed_run(settings, name))
    for start in range(0, len(shown), PER_DASHBOARD):
        number = start // PER_DASHBOARD
        part = [f"{number + 1}"] if number else []
        widgets = _widgets(place, shown[start : start + PER_DASHBOARD], settings.monitoring.feature_store.metrics)
        name = place.name("feature-store", *part, place.region, limit=255)
        yield Declared(f"{NAME}.dashboard.{'_'.join(['features', *part])}", Dashboard(name=name, widgets=widgets))


def _topic(settings: Settings, place: Place) -> Topic:
    """Encrypted, and for alarms of this account alone. EventBridge isn't let in, because the key doesn't let it in.

    (CloudWatch user guide, "Notifying users on alarm changes"; SNS developer guide, "Example cases".)
    """
    name = place.name("alarms", limit=256)
    alarms = {
        "Sid": "AlarmsOfThisAccount",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": place.arn("sns", name),
        "Condition": {
            "StringEquals": {"aws:SourceAccount": place.account},
            "ArnLike": {"aws:SourceArn": place.arn("cloudwatch", "alarm:*")},
        },
    }
    return Topic(name=name, key=KEY, policy=document(alarms), emails=sorted(set(settings.monitoring.emails)))


def _declared(place: Place, what: str, alarm: dict[str, Any]) -> Declared:
    told = [Ref(TOPIC, "arn")]
    name = place.name("features", what.replace("_", "-"), limit=255)
    return Declared(f"{NAME}.alarm.{what}", Alarm(name=name, actions=told, ok_actions=told, **alarm))


def _alarms(at: FeatureStoreMonitoring, group: FeatureGroup, name: str) -> dict[str, dict[str, Any]]:
    """The alarms of one group, by what they are about."""
    both = [WRITES, READS] if group.online else [WRITES]
    found = {}
    for operation, what in zip(both, ("put", "get"), strict=False):
        dimensions = {"FeatureGroupName": name, "OperationName": operation}
        found[f"{what}_errors"] = _errors(at, dimensions, f"{operation} of feature group {name} fails")
        found[f"{what}_latency"] = {
            "metrics": [_metric(at.metrics, "Latency", dimensions, "p99")],
            "threshold": at.latency_ms * 1000.0,
            "period": 60 * at.period_minutes,
            "periods": 3,
            "datapoints": 3,
            "missing": "notBreaching",
            "description": f"{operation} of feature group {name} is slow: over {at.latency_ms} ms for one in a hundred",
        }
    called = [{"FeatureGroupName": name, "OperationName": each} for each in both]
    found["throttles"] = _throttles(at, called, f"Calls of feature group {name} are turned away")
    found["failed_records"] = _counted(
        at, [_metric(OWN, "FailedRecords", {"FeatureGroupName": name}, "Sum")], at.failed_records
    ) | {"description": f"Records could not be ingested into feature group {name}"}
    if group.freshness_minutes:
        found["freshness"] = _freshness(group.freshness_minutes, str(group.freshness), name)
    return found


def _of_batches(at: FeatureStoreMonitoring) -> dict[str, dict[str, Any]]:
    """What is known of batches is known of all groups of the account together."""
    operations = {"batch_write": "BatchWriteRecord", "batch_get": "BatchGetRecord"}
    dimensions = [{"OperationName": each} for each in operations.values()]
    errors = {
        f"{what}_errors": _errors(at, {"OperationName": operation}, f"{operation} of any feature group fails")
        for what, operation in operations.items()
    }
    return {**errors, "batch_throttles": _throttles(at, dimensions, "Batches of any feature group are turned away")}


def _failed_run(settings: Settings, name: str) -> dict[str, Any]:
    """Developer guide, "SageMaker Pipelines metrics"."""
    pipeline = {"PipelineName": Ref(f"{NAME}.pipeline.transformation_{name}", "name")}
    failed = [_metric("AWS/Sagemaker/ModelBuildingPipeline", "ExecutionFailed", pipeline, "Sum")]
    described = f"Transformation {name} failed, or refused a file"
    return _counted(settings.monitoring.feature_store, failed, 1) | {"description": described}


def _errors(at: FeatureStoreMonitoring, dimensions: Mapping[str, str], description: str) -> dict[str, Any]:
    """Each call is counted in both: 1 where it failed so, else 0."""
    metrics = [_metric(at.metrics, f"Operation{kind}Errors", dimensions, "Sum") for kind in ("4XX", "5XX")]
    return {**_counted(at, metrics, at.errors), "description": description}


def _throttles(at: FeatureStoreMonitoring, dimensions: Sequence[Mapping[str, str]], description: str) -> dict[str, Any]:
    """An operation that isn't called has no data, which counts as none."""
    metrics = [_metric(at.metrics, "ThrottledRequests", each, "Sum") for each in dimensions]
    alarm = {**_counted(at, metrics, at.throttles), "description": description}
    if len(metrics) > 1:
        alarm["expression"] = " + ".join(f"FILL(m{number}, 0)" for number in range(1, len(metrics) + 1))
    return alarm


def _counted(at: FeatureStoreMonitoring, metrics: list[Metric], threshold: int) -> dict[str, Any]:
    """So many in one period; nothing is told where nothing happens."""
    expression = " + ".join(f"m{number}" for number in range(1, len(metrics) + 1)) if len(metrics) > 1 else ""
    return {
        "metrics": metrics,
        "expression": expression,
        "threshold": float(threshold),
        "comparison": AT_LEAST,
        "period": 60 * at.period_minutes,
        "missing": "notBreaching",
    }


def _freshness(minutes: int, limit: str, name: str) -> dict[str, Any]:
    """No ingestion within the limit had a record that was newer than it.

    The age is published when records are ingested. So the alarm looks back for as long as a record may be old, and
    no data is as bad as old data: it goes off when every period is either. An alarm looks back a day at most, seven
    with periods of an hour (API reference, PutMetricAlarm).
    """
    period = 60 if minutes > 24 * 60 else next(each for each in (15, 5, 1) if minutes % each == 0)
    return {
        "metrics": [_metric(OWN, "NewestRecordAge", {"FeatureGroupName": name}, "Minimum")],
        "threshold": 60.0 * minutes,
        "period": 60 * period,
        "periods": minutes // period,
        "datapoints": minutes // period,
        "missing": "breaching",
        "description": f"Feature group {name} has had no record newer than {limit}",
    }


def _metric(namespace: str, name: str, dimensions: Mapping[str, str | Ref], statistic: str) -> Metric:
    return {"namespace": namespace, "name": name, "dimensions": dict(dimensions), "statistic": statistic}


def _widgets(place: Place, groups: Sequence[tuple[str, str, list[str]]], aws: str) -> list[dict[str, Any]]:
    """A row for each group: its alarms, then calls, latency, throttles and ingestion."""
    found: list[dict[str, Any]] = []
    for row, (group, name, alarms) in enumerate(groups):
        arns = [place.arn("cloudwatch", f"alarm:{each}") for each in alarms]
        top = 8 * row
        found.append(_widget("alarm", 0, top, 24, 2, {"title": f"Feature group {group}", "alarms": arns}))
        for column, properties in enumerate(_graphs(name, aws)):
            shown = {**properties, "region": place.region, "view": "timeSeries", "period": 300}
            found.append(_widget("metric", 6 * column, top + 2, 6, 6, shown))
    return found


def _graphs(name: str, aws: str) -> Iterator[dict[str, Any]]:
    def line(metric: str, operation: str, **options: Any) -> list[Any]:
        return [aws, metric, "FeatureGroupName", name, "OperationName", operation, options]

    def own(metric: str, **options: Any) -> list[Any]:
        return [OWN, metric, "FeatureGroupName", name, options]

    both = (WRITES, READS)
    counts = [line(metric, each, stat="Sum", label=f"{each} {label}") for each in both
              for metric, label in (("Invocations", "calls"), ("Operation4XXErrors", "refused"),
                                    ("Operation5XXErrors", "failed"))]  # fmt: skip
    yield {"title": "Calls", "metrics": counts}
    latency = [line("Latency", each, stat=stat, label=f"{each} {stat}") for each in both for stat in ("p50", "p99")]
    yield {"title": "Latency (microseconds)", "metrics": latency}
    throttles = [line("ThrottledRequests", each, stat="Sum", label=each) for each in both]
    yield {"title": "Turned away", "metrics": throttles}
    ingested = [own(metric, stat="Sum") for metric in ("IngestedRecords", "FailedRecords")]
    age = own("NewestRecordAge", stat="Minimum", yAxis="right")
    yield {"title": "Ingestion, and the age of the newest record (seconds)", "metrics": [*ingested, age]}


def _widget(kind: str, x: int, y: int, width: int, height: int, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "x": x, "y": y, "width": width, "height": height, "properties": properties}
