"""The guard itself: what AWS would refuse by its service models is refused before it is sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import botocore.session
import pytest
from tests.e2e import project
from tests.strict_requests import Refused, check

from mlplat.localcloud.validation.patterns import translated

SERVICES = (
    "ec2", "glue", "iam", "kms", "logs", "s3", "sagemaker", "sagemaker-featurestore-runtime", "sagemaker-runtime",
    "sts",
)  # fmt: skip


def refusal(service: str, operation: str, **params: Any) -> str:
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    with pytest.raises(Refused) as caught:
        check(params, model)
    return str(caught.value)


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_a_service_in_use_can_be_checked(service: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    patterns = {shape.metadata["pattern"] for name in model.shape_names
                if "pattern" in (shape := model.shape_for(name)).metadata}  # fmt: skip
    for pattern in patterns:
        re.compile(translated(pattern))


def test_patterns_ranges_lengths_enums_and_members_are_checked_at_any_depth() -> None:
    said = refusal(
        "sagemaker",
        "CreateTrainingJob",
        TrainingJobName="under_score",
        StoppingCondition={"MaxRuntimeInSeconds": 0},
        ResourceConfig={"InstanceType": "ml.m5.tiny", "InstanceCount": 1, "VolumeSizeInGB": 1},
        HyperParameters={"x": "y" * 2501},
        Tags=[{"Key": "", "Value": "v"}],
        Surprise=1,
    )
    for expected in (
        "Value 'under_score' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression",
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value",
        "Value 'ml.m5.tiny' at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum",
        "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have",
        "Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than",
        "no member Surprise",
    ):
        assert expected in said


@pytest.mark.parametrize(("value", "right"), [("Größe, 2 m²", False), ("Größe 2", True), ("a\tb", False)])
def test_javas_classes_mean_what_they_mean_in_java(value: str, right: bool) -> None:
    assert bool(re.fullmatch(translated(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+"), value)) is right


def test_a_client_that_is_watched_sends_nothing_wrong(cloud: Any) -> None:
    with pytest.raises(Refused, match="roleName"):
        cloud.session().client("iam").get_role(RoleName="no role")


def test_commands_are_watched_and_other_programs_are_not() -> None:
    code = "import botocore.session as s; print(s.Session.__init__.__name__)"
    paths = os.pathsep.join(filter(None, (str(project.STRICT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "__init__"
    faked = (
        "import sys; sys.orig_argv[1:3] = ['-m', 'mlplat']; import runpy; "
        f"runpy.run_path({str(project.STRICT / 'sitecustomize.py')!r}); {code}"
    )
    run = subprocess.run([sys.executable, "-c", faked], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "watched"
