"""ml_training_infrastructure: the role that training, tuning, processing and transform jobs run as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlplat.resources import Role
from mlplat.resources.base import Declared
from mlplat.templates import permissions
from mlplat.templates.permissions import assumed_by_sagemaker, bucket, document
from mlplat.templates.place import Place
from mlplat.templates.release import Release

if TYPE_CHECKING:
    from mlplat.settings import Settings

NAME = "ml_training_infrastructure"
LOG_GROUPS = tuple(f"/aws/sagemaker/{kind}Jobs" for kind in ("Training", "Processing", "Transform"))
"""SageMaker's names, the same in every account."""

READ = ("raw", "processed", "models", "experiments")
WRITTEN = ("processed", "models", "experiments")


def ml_training_infrastructure(settings: Settings, place: Place, _releases: Mapping[str, Release]) -> list[Declared]:
    """The role. Tuning needs no more than training: its jobs get the role from whoever starts it."""
    return [Declared(f"{NAME}.role.training", _role(settings, place))]


def _role(settings: Settings, place: Place) -> Role:
    policies = {
        "data": document(
            permissions.find_in(*READ),
            permissions.read(*(each for purpose in READ for each in bucket(purpose))),
            permissions.write(*(each for purpose in WRITTEN for each in bucket(purpose))),
            *permissions.encryption(),
        ),
        "containers": document(
            *permissions.images(place, permissions.own_images(settings)),
            permissions.logs(place, *LOG_GROUPS),
            permissions.metrics(),
        ),
    }
    if settings.training.in_vpc:
        policies["network"] = document(*permissions.network(settings, place))
    return Role(
        name=place.name("training", place.region, limit=64),
        trust=assumed_by_sagemaker(settings, place),
        policies=policies,
        description="Training, tuning, processing and transform jobs",
    )
