"""Application Auto Scaling's refusals for endpoint variants, and what goes with a target that is deregistered."""

from __future__ import annotations

import re
from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

SERVICE = "application-autoscaling"
BACKEND = "applicationautoscaling"
VARIANT = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")
BURSTABLE = re.compile(r"ml\.t\d[a-z]*\.")


@before(SERVICE, "RegisterScalableTarget")
def a_variant_that_is_there_can_be_scaled(asked: Asked) -> None:
    """Developer guide of SageMaker, "Register a model": an endpoint in service, no burstable instance."""
    named = VARIANT.fullmatch(asked.request["ResourceId"])
    if asked.request["ServiceNamespace"] != "sagemaker" or named is None:
        return
    variants = _variants(asked, named["endpoint"])
    if named["variant"] not in variants:  # the wording is not verified
        raise AwsError("ValidationException", f"No variant {named['variant']} found for endpoint {named['endpoint']}.")
    kind = variants[named["variant"]]
    if BURSTABLE.match(kind):
        text = f"You cannot register a variant with {kind} instance type as a scalable target."
        raise AwsError("ValidationException", text)


@before(SERVICE, "RegisterScalableTarget")
def the_least_is_not_above_the_most(asked: Asked) -> None:
    """API reference of RegisterScalableTarget; the wording is not verified."""
    least, most = asked.request.get("MinCapacity"), asked.request.get("MaxCapacity")
    if least is not None and most is not None and least > most:
        raise AwsError("ValidationException", "Maximum capacity cannot be less than minimum capacity")


@before(SERVICE, "PutScalingPolicy", "PutScheduledAction")
def a_policy_is_for_a_registered_target(asked: Asked) -> None:
    """API reference of PutScalingPolicy; recorded text."""
    if _target(asked) is None:
        raise AwsError("ObjectNotFoundException", f"No scalable target registered for {_named(asked)}")


@before(SERVICE, "DeregisterScalableTarget")
def only_what_is_registered_is_deregistered(asked: Asked) -> None:
    """API reference of DeregisterScalableTarget; recorded text."""
    if _target(asked) is None:
        raise AwsError("ObjectNotFoundException", f"No scalable target found for {_named(asked)}")


@after(SERVICE, "DeregisterScalableTarget")
def its_policies_and_schedules_go_with_it(asked: Asked, _reply: Reply) -> None:
    """API reference of DeregisterScalableTarget."""
    backend = asked.backend(BACKEND)
    gone = [name for name, policy in backend.policies.items() if _is_for(policy, asked)]
    for name in gone:
        del backend.policies[name]
    backend.scheduled_actions = [each for each in backend.scheduled_actions if not _is_for(each, asked)]


def _variants(asked: Asked, endpoint: str) -> dict[str, str]:
    """Instance types by variant of an endpoint."""
    with asked.cloud.lock:
        found = asked.cloud.store("endpoints").get(endpoint, {})
        config = asked.cloud.store("endpoint_configs").get(found.get("EndpointConfigName"), {})
        return {each["VariantName"]: each.get("InstanceType", "") for each in config.get("ProductionVariants", ())}


def _target(asked: Asked) -> Any:
    request = asked.request
    return asked.backend(BACKEND).targets.get(request["ScalableDimension"], {}).get(request["ResourceId"])


def _named(asked: Asked) -> str:
    request = asked.request
    return (
        f"service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
        f"scalable dimension: {request['ScalableDimension']}"
    )


def _is_for(found: Any, asked: Asked) -> bool:
    request = asked.request
    return (found.service_namespace, found.resource_id, found.scalable_dimension) == (
        request["ServiceNamespace"],
        request["ResourceId"],
        request["ScalableDimension"],
    )
