"""Endpoint configs: which models an endpoint runs, on which instances, and what it captures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.resources.base import Observed, Resource
from mlplat.resources.sagemaker import Description, claim, tags_of

CSV, JSON = ["text/csv"], ["application/json", "application/jsonlines"]
"""Content types that are captured as text; any other is captured in base64."""


@dataclass(frozen=True, kw_only=True)
class EndpointConfig(Resource):
    """A config. There is no UpdateEndpointConfig: the name carries a digest, another content is another config.

    Weights and instance counts belong to the endpoint once it runs, so they are given here only to begin with and
    another weight makes no new config. A config in use can be deleted, and then the endpoint can't be updated any
    more (terraform-provider-aws #40048): the old one goes only after the endpoint is seen on the new one.
    """

    kind: ClassVar[str] = "endpoint_config"
    immutable: ClassVar[frozenset[str]] = frozenset({"name", "variants", "data_capture", "key"})
    create_only: ClassVar[frozenset[str]] = frozenset({"weights", "instance_counts"})
    create_first: ClassVar[bool] = True

    variants: Sequence[Mapping[str, Any]]
    """Each with `name`, `model` (its AWS name) and `instance_type`."""
    weights: Mapping[str, float]
    """Variant -> its weight at the start."""
    instance_counts: Mapping[str, int]
    """Variant -> its instances at the start."""
    data_capture: Mapping[str, Any] | None = None
    """`uri`, `percentage` and KMS `key` (an ARN); None captures nothing."""
    key: str | None = None
    """The ARN of the KMS key for the instances' volumes."""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The config of that id, or of this name."""
        for name in dict.fromkeys((id or self.name, self.name)):
            if answer := aws.find(partial(aws.client("sagemaker").describe_endpoint_config, EndpointConfigName=name)):
                return _observed(aws, answer)
        return None

    def create(self, aws: Session) -> str:
        """Make it; SageMaker checks that the models exist."""
        request: dict[str, Any] = {
            "EndpointConfigName": self.name,
            "ProductionVariants": [self._variant(each) for each in self.variants],
            "Tags": tag_list(aws.tags),
        }
        if self.data_capture:
            request["DataCaptureConfig"] = _capture(self.data_capture)
        if self.key:
            request["KmsKeyId"] = self.key
        aws.client("sagemaker").create_endpoint_config(**request)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Only tags can change."""
        claim(aws, seen)

    def delete(self, aws: Session, id: str) -> None:
        """Delete it; an endpoint that uses it is not asked."""
        with aws.gone_is_fine():
            aws.client("sagemaker").delete_endpoint_config(EndpointConfigName=id)

    def _variant(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        name = variant["name"]
        return {
            "VariantName": name,
            "ModelName": variant["model"],
            "InstanceType": variant["instance_type"],
            "InitialInstanceCount": self.instance_counts[name],
            "InitialVariantWeight": self.weights[name],
        }


def _capture(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "DestinationS3Uri": wanted["uri"],
        "InitialSamplingPercentage": wanted["percentage"],
        "KmsKeyId": wanted["key"],
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": CSV, "JsonContentTypes": JSON},
    }


def _observed(aws: Session, answer: Description) -> Observed:
    name, arn = answer["EndpointConfigName"], answer["EndpointConfigArn"]
    capture = answer.get("DataCaptureConfig")
    return Observed(
        id=name,
        fields={
            "name": name,
            "variants": [
                {"name": each["VariantName"], "model": each.get("ModelName"), "instance_type": each.get("InstanceType")}
                for each in answer["ProductionVariants"]
            ],
            "data_capture": capture
            and {
                "uri": capture["DestinationS3Uri"],
                "percentage": capture["InitialSamplingPercentage"],
                "key": capture.get("KmsKeyId"),
            },
            "key": answer.get("KmsKeyId"),
        },
        outputs={"name": name, "arn": arn},
        tags=tags_of(aws, arn),
    )
