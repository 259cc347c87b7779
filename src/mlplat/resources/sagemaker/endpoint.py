"""Endpoints: the HTTPS address that models answer at, moved from config to config without a gap."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.errors import NotSettled
from mlplat.resources.base import Observed, Resource
from mlplat.resources.sagemaker import Description, claim, settled, tags_of
from mlplat.resources.sagemaker.traffic import current_shares, instance_counts, shares

WITHIN = 7200.0
"""Seconds to wait: 24 minutes to over an hour have been seen (amazon-sagemaker-examples #3432)."""

MOVING = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}


@dataclass(frozen=True, kw_only=True)
class Endpoint(Resource):
    """An endpoint. It takes another config, other weights and other instance counts in place.

    `InService` does not say that an update succeeded: SageMaker rolls back and is in service again. After each
    update the config, weights and counts are read back, and the old ones are a failure with SageMaker's reason
    (terraform-provider-aws #48997). Weights are kept as float32 and mean shares of their sum. One call changes the
    weights of many variants, but the instance count of only one (UpdateEndpointWeightsAndCapacities' page).
    """

    kind: ClassVar[str] = "endpoint"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})
    create_first: ClassVar[bool] = True

    endpoint_config: str
    """The AWS name of its config."""
    weights: Mapping[str, float]
    instance_counts: Mapping[str, int] | None = None
    """Variant -> instances, for the variants that nothing scales."""

    def desired(self) -> dict[str, Any]:
        """Weights as shares, because 8 and 2 mean what 0.8 and 0.2 mean."""
        return {**super().desired(), "weights": shares(self.weights)}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The endpoint, once no update or maintenance of it is under way."""
        answer = self._settled(aws, id or self.name)
        if answer is None:
            return None
        name, arn, status = answer["EndpointName"], answer["EndpointArn"], answer["EndpointStatus"]
        dead = status in ("Failed", "OutOfService")
        return Observed(
            id=name,
            fields={"name": name, **self._fields(answer)},
            outputs={"name": name, "arn": arn},
            tags=tags_of(aws, arn),
            failed=f"{status}: {_reason(answer)}" if dead else None,
        )

    def create(self, aws: Session) -> str:
        """Make it and wait until it answers; when the wait ends early, describing it goes on waiting."""
        aws.client("sagemaker").create_endpoint(
            EndpointName=self.name, EndpointConfigName=self.endpoint_config, Tags=tag_list(aws.tags)
        )
        self._balance(aws, self._verified(aws, "creating"))
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Move to the config, then set what its weights and counts are not yet, each verified."""
        if "tags" in changed:
            claim(aws, seen)
        if "endpoint_config" in changed:
            update = {"EndpointName": self.name, "EndpointConfigName": self.endpoint_config}
            aws.client("sagemaker").update_endpoint(**update)
        self._balance(aws, self._verified(aws, "updating"))

    def delete(self, aws: Session, id: str) -> None:
        """Delete it, after whatever is under way, and wait until its name is free."""
        with aws.gone_is_fine():
            aws.client("sagemaker").delete_endpoint(EndpointName=id)
        if (answer := self._settled(aws, id)) is not None:
            raise NotSettled(f"deleting endpoint {id}: it is {answer['EndpointStatus']}: {_reason(answer)}")

    def _balance(self, aws: Session, answer: Description) -> None:
        """Weights in one call, instance counts variant by variant, where they are not as desired."""
        wanted, there = self.desired(), self._fields(answer)
        calls = [{"VariantName": name, "DesiredWeight": weight} for name, weight in self.weights.items()]
        changes = [calls] if wanted["weights"] != there["weights"] else []
        for name, count in (self.instance_counts or {}).items():
            if there["instance_counts"].get(name) != count:
                changes.append([{"VariantName": name, "DesiredInstanceCount": count}])
        for change in changes:
            aws.client("sagemaker").update_endpoint_weights_and_capacities(
                EndpointName=self.name, DesiredWeightsAndCapacities=change
            )
            answer = self._verified(aws, "updating")
        there = self._fields(answer)
        wrong = [each for each in ("weights", "instance_counts") if wanted.get(each, there[each]) != there[each]]
        if wrong:
            raise NotSettled(
                f"updating endpoint {self.name}: SageMaker left {wrong[0]} at {there[wrong[0]]}: {_reason(answer)}",
                hint="mlplat plan",
            )

    def _verified(self, aws: Session, doing: str) -> Description:
        """The settled endpoint, if it is in service and on the desired config."""
        answer = self._settled(aws, self.name, made=doing == "creating")
        if answer is None:
            raise NotSettled(f"{doing} endpoint {self.name}: it is gone", hint="mlplat apply")
        status, live = answer["EndpointStatus"], answer.get("EndpointConfigName")
        if status != "InService":
            raise NotSettled(f"{doing} endpoint {self.name}: {status}: {_reason(answer)}", hint="mlplat apply")
        if live != self.endpoint_config:
            raise NotSettled(
                f"{doing} endpoint {self.name}: SageMaker rolled back to {live}: {_reason(answer)}", hint="mlplat plan"
            )
        return answer

    def _settled(self, aws: Session, name: str, *, made: bool = False) -> Description | None:
        client = aws.client("sagemaker")
        return settled(
            aws,
            f"endpoint {name}",
            lambda: client.describe_endpoint(EndpointName=name),
            _moving,
            within=WITHIN,
            every=10,
            made=made,
        )

    def _fields(self, answer: Description) -> dict[str, Any]:
        variants = answer.get("ProductionVariants", ())
        mixed = answer["EndpointStatus"] == "UpdateRollbackFailed"  # old and new instances at once: move it again
        return {
            "endpoint_config": "a mix, UpdateRollbackFailed" if mixed else answer.get("EndpointConfigName"),
            "weights": current_shares(variants),
            "instance_counts": instance_counts(variants, self.instance_counts),
        }


def _moving(answer: Description) -> Collection[str]:
    return MOVING & {answer["EndpointStatus"]}


def _reason(answer: Description) -> str:
    return str(answer.get("FailureReason") or "SageMaker gives no reason")
