"""CloudWatch's alarms: periods that it has, a state that nobody has looked at yet; and namespaces that are AWS's."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud.cloud import AGENT
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

RESERVED = "AWS/"
HIGH_RESOLUTION = (10, 20, 30)
HOUR, DAY, WEEK = 3_600, 86_400, 604_800
TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")
MOST_METRICS = 1000
UNCHECKED = "Unchecked: Initial alarm creation"


@before("cloudwatch", "PutMetricData")
def the_namespaces_of_services_are_theirs(asked: Asked) -> None:
    """API reference of PutMetricData; the words are recorded in boto3's issue 1847. Our own services come through."""
    internal = AGENT in asked.route.request.headers.get("User-Agent", "")
    if asked.request.get("Namespace", "").startswith(RESERVED) and not internal:
        raise AwsError("InvalidParameterValue", f"The value {RESERVED} for parameter Namespace is invalid.")


@before("cloudwatch", "PutMetricAlarm")
def a_period_is_a_whole_number_of_minutes(asked: Asked) -> None:
    """API reference of PutMetricAlarm: 10, 20, 30 and any multiple of 60. The wording is not verified."""
    period = asked.request.get("Period")
    if period is not None and period not in HIGH_RESOLUTION and (period < 60 or period % 60):
        raise AwsError("ValidationError", "The period must be 10, 20, 30, or any multiple of 60.")


@before("cloudwatch", "PutMetricAlarm")
def an_alarm_looks_back_a_week_at_most(asked: Asked) -> None:
    """API reference of PutMetricAlarm, EvaluationPeriods; with periods shorter than an hour it is a day."""
    period, count = asked.request.get("Period") or 0, asked.request.get("EvaluationPeriods") or 0
    longest, span, kind = (WEEK, "a week", ">=") if period >= HOUR else (DAY, "a day", "<")
    if period * count > longest:
        raise AwsError(
            "ValidationError",
            f"Metrics cannot be checked across more than {span} (EvaluationPeriods * Period must be <= {longest}) for "
            f"alarms using period {kind} {HOUR}",
        )


@before("cloudwatch", "PutMetricAlarm")
def missing_data_is_treated_in_one_of_four_ways(asked: Asked) -> None:
    """API reference of PutMetricAlarm; the model leaves it open, and the wording is not verified."""
    if asked.request.get("TreatMissingData", "missing") not in TREATMENTS:
        raise AwsError("ValidationError", f"TreatMissingData must be one of {', '.join(TREATMENTS)}")


@before("cloudwatch", "PutMetricAlarm", "PutCompositeAlarm")
def actions_are_arns_of_this_region(asked: Asked) -> None:
    """API reference of PutMetricAlarm, AlarmActions; texts as users quote them."""
    for member in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        for action in asked.request.get(member, ()):
            parts = action.split(":", 5)
            if len(parts) < 6 or parts[0] != "arn":
                raise AwsError("ValidationError", f"Invalid arn syntax: {action}")
            if parts[3] not in ("", asked.cloud.region) and parts[2] != "automate":
                text = f"Invalid region {parts[3]} specified. Only {asked.cloud.region} is supported."
                raise AwsError("ValidationError", text)


@before("cloudwatch", "PutMetricData")
def a_thousand_metrics_at_once(asked: Asked) -> None:
    """API reference of PutMetricData."""
    if len(asked.request.get("MetricData", ())) > MOST_METRICS:
        text = f"The collection MetricData must not have a size greater than {MOST_METRICS}."
        raise AwsError("InvalidParameterValue", text)


@before("cloudwatch", "PutMetricAlarm", "PutCompositeAlarm")
def what_the_alarm_said_is_kept(asked: Asked) -> None:
    """For the rule below."""
    asked.route.memo["alarm"] = _alarm(asked)


@after("cloudwatch", "PutMetricAlarm", "PutCompositeAlarm")
def a_new_alarm_knows_nothing(asked: Asked, _reply: Reply) -> None:
    """API reference of PutMetricAlarm: INSUFFICIENT_DATA at first; an update leaves the state alone. moto says OK."""
    alarm, known = _alarm(asked), asked.route.memo["alarm"]
    if alarm is None:
        return
    if known is None:
        alarm.state_value, alarm.state_reason = "INSUFFICIENT_DATA", UNCHECKED
    else:
        alarm.state_value, alarm.state_reason = known.state_value, known.state_reason
        alarm.state_updated_timestamp, alarm.history = known.state_updated_timestamp, known.history


def _alarm(asked: Asked) -> Any:
    return asked.backend().alarms.get(asked.request["AlarmName"])
