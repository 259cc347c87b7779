"""Models: what an endpoint loads, by package version or by image and artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.resources.base import Observed, Resource
from mlplat.resources.sagemaker import Description, claim, tags_of


@dataclass(frozen=True, kw_only=True)
class Model(Resource):
    """A model, made of a model package version or of an image with its artifact.

    There is no UpdateModel: the name carries a digest of the content, and another content is another model. AWS
    deletes a model that an endpoint uses without a word (terraform-provider-aws #21811), so the old one goes last.
    A model of a package answers with its ARN: that is how a release is read back from a live endpoint. SageMaker's
    own SDK deploys registered versions so; `environment` adds to what the package says.
    """

    kind: ClassVar[str] = "model"
    immutable: ClassVar[frozenset[str]] = frozenset(
        {"name", "role", "model_package", "image", "model_data", "environment", "vpc_config"}
    )
    create_first: ClassVar[bool] = True
    lends: ClassVar[frozenset[str]] = frozenset({"vpc_config"})

    role: str
    model_package: str | None = None
    """The ARN of a version, instead of `image` and `model_data`."""
    image: str | None = None
    model_data: str | None = None
    environment: Mapping[str, str] | None = None
    vpc_config: Mapping[str, Sequence[str]] | None = None
    """`subnets` and `security_groups`, by id."""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The model of that id, or of this name."""
        for name in dict.fromkeys((id or self.name, self.name)):
            if answer := aws.find(partial(aws.client("sagemaker").describe_model, ModelName=name)):
                return self._observed(aws, answer)
        return None

    def create(self, aws: Session) -> str:
        """Make it; SageMaker checks that it can assume the role and that artifact and image can be reached."""
        container: dict[str, Any] = {
            "ModelPackageName": self.model_package,
            "Image": self.image,
            "ModelDataUrl": self.model_data,
            "Environment": self.environment,
        }
        request: dict[str, Any] = {
            "ModelName": self.name,
            "PrimaryContainer": {key: value for key, value in container.items() if value},
            "ExecutionRoleArn": self.role,
            "Tags": tag_list(aws.tags),
        }
        if self.vpc_config:
            request["VpcConfig"] = {
                "Subnets": list(self.vpc_config["subnets"]),
                "SecurityGroupIds": list(self.vpc_config["security_groups"]),
            }
        aws.client("sagemaker").create_model(**request)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Only tags can change."""
        claim(aws, seen)

    def delete(self, aws: Session, id: str) -> None:
        """Delete it; nothing that uses it is asked."""
        with aws.gone_is_fine():
            aws.client("sagemaker").delete_model(ModelName=id)

    def _observed(self, aws: Session, answer: Description) -> Observed:
        name, arn = answer["ModelName"], answer["ModelArn"]
        container: Mapping[str, Any] = answer.get("PrimaryContainer") or next(iter(answer.get("Containers", ())), {})
        package = container.get("ModelPackageName")
        return Observed(
            id=name,
            fields={
                "name": name,
                "role": answer.get("ExecutionRoleArn"),
                "model_package": package,
                "image": container.get("Image"),
                "model_data": container.get("ModelDataUrl"),
                "environment": self._declared(container.get("Environment", {})),
                "vpc_config": self._in_declared_order(answer.get("VpcConfig", {})),
            },
            outputs={"name": name, "arn": arn, "model_package": package},
            tags=tags_of(aws, arn),
        )

    def _declared(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that we set: those of the package may come with them."""
        return {key: value for key, value in environment.items() if key in (self.environment or ())}

    def _in_declared_order(self, vpc: Mapping[str, list[str]]) -> Mapping[str, Sequence[str]]:
        """AWS may answer with the ids in another order."""
        seen = {"subnets": vpc.get("Subnets", []), "security_groups": vpc.get("SecurityGroupIds", [])}
        for key, wanted in (self.vpc_config or {}).items():
            if set(map(str, wanted)) == set(seen[key]):
                seen[key] = list(wanted)
        return seen
