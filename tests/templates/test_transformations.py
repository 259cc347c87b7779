from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from tests.templates.platform import GROUP, PLACE, allowed, everything, of_template, platform, statements

from mlplat.errors import SettingsError
from mlplat.resources import Alarm, BucketObject, EventRule, GlueJob, GlueTrigger, Pipeline, Role
from mlplat.resources.base import Declared, Ref, Resource

SCRIPT = "def transform(frame):\n    return frame\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "customers.py"
    path.write_text(SCRIPT)
    return path


def declared(script: Path, **more: Any) -> dict[str, Declared]:
    spec = {"script": script, "source": "customers/", **more}
    return of_template(platform(transformations={"customer": spec}), "ml_feature_store")


def found(script: Path, **more: Any) -> dict[str, Resource]:
    return {address: each.resource for address, each in declared(script, **more).items()}


def contract(resource: Resource) -> Any:
    """What the script is told, without running it."""
    assert isinstance(resource, BucketObject)
    assigned = [each for each in ast.parse(resource.content).body if isinstance(each, ast.Assign)]
    values = {ast.unparse(each.targets[0]): each.value for each in assigned}
    call = values["CONTRACT"]
    assert isinstance(call, ast.Call)
    assert ast.literal_eval(values["SOURCE"]) == SCRIPT
    return json.loads(ast.literal_eval(call.args[0]))


def test_a_pipeline_runs_one_script_that_knows_what_it_is_for(script: Path) -> None:
    resources = found(script, rules={"minutes": {"min": 0}})
    told = contract(resources["bucket_object.transformation_customer"])
    assert told["feature_group"] == "mlplat-development-customer"
    assert told["features"] == GROUP["features"]
    assert told["rules"] == {"minutes": {"min": 0}}
    assert told["raw"] == {"bucket": PLACE.global_name("raw"), "prefix": "customers/"}
    pipeline = resources["pipeline.transformation_customer"]
    assert isinstance(pipeline, Pipeline)
    [step] = pipeline.definition["Steps"]
    assert step["Arguments"]["RoleArn"] == Ref("ml_feature_store.role.transformation_customer", "arn")
    [source] = step["Arguments"]["ProcessingInputs"]
    assert source["S3Input"]["S3Uri"] == Ref("ml_feature_store.bucket_object.transformation_customer", "uri")
    assert step["Arguments"]["AppSpecification"]["ContainerEntrypoint"][1].endswith("/customer.py")
    assert not {"event_rule.transformation_customer", "role.schedules"} & resources.keys()


def test_the_version_that_is_written_is_the_present_one(script: Path) -> None:
    spec = {"script": script, "source": "customers/"}
    tables = {"transformations": {"customer": spec}, "feature_groups": {"customer": {**GROUP, "version": 2}}}
    resources = of_template(platform(**tables), "ml_feature_store")
    told = contract(resources["bucket_object.transformation_customer"].resource)
    assert told["feature_group"] == "mlplat-development-customer-v2"
    role = resources["role.transformation_customer"].resource
    assert isinstance(role, Role)
    assert allowed(role, "sagemaker:PutRecord") == ["(ml_feature_store.feature_group.customer-v2.arn)"]


def test_a_schedule_starts_the_pipeline_and_nothing_else(script: Path) -> None:
    resources = found(script, schedule="rate(1 day)")
    rule, role = resources["event_rule.transformation_customer"], resources["role.schedules"]
    assert isinstance(rule, EventRule)
    assert isinstance(role, Role)
    pipeline = Ref("ml_feature_store.pipeline.transformation_customer", "arn")
    assert rule.targets == {"pipeline": {"Arn": pipeline, "RoleArn": Ref("ml_feature_store.role.schedules", "arn")}}
    [statement] = statements(role)
    assert statement["Action"] == ["sagemaker:StartPipelineExecution"]
    assert statement["Resource"] == [pipeline]


def test_a_glue_job_does_the_same_by_setting(script: Path) -> None:
    resources = found(script, engine="glue", schedule="cron(0 3 * * ? *)")
    job, trigger = resources["glue_job.transformation_customer"], resources["glue_trigger.transformation_customer"]
    assert isinstance(job, GlueJob)
    assert isinstance(trigger, GlueTrigger)
    assert job.script == Ref("ml_feature_store.bucket_object.transformation_customer", "uri")
    assert trigger.job == Ref("ml_feature_store.glue_job.transformation_customer", "name")
    assert not [address for address in resources if "pipeline" in address]
    role = resources["role.transformation_customer"]
    assert isinstance(role, Role)
    assert role.trust["Statement"][0]["Principal"] == {"Service": "glue.amazonaws.com"}


def test_the_job_may_do_what_it_does_and_no_more(script: Path) -> None:
    role = found(script)["role.transformation_customer"]
    assert isinstance(role, Role)
    processed = "(ml_data_infrastructure.bucket.processed.arn)/transformations/customer/*"
    assert allowed(role, "s3:PutObject") == [processed]
    assert allowed(role, "s3:GetObject") == [
        "(ml_data_infrastructure.bucket.raw.arn)/customers/*",
        processed,
        "(ml_data_infrastructure.bucket.experiments.arn)/mlplat/transformations/customer.py",
    ]
    assert allowed(role, "sagemaker:PutRecord") == ["(ml_feature_store.feature_group.customer.arn)"]


def test_in_the_vpc_the_job_is_in_its_subnets(script: Path) -> None:
    tables = {"customer": {"script": script, "source": "customers/"}}
    resources = of_template(everything(transformations=tables), "ml_feature_store")
    pipeline = resources["pipeline.transformation_customer"].resource
    assert isinstance(pipeline, Pipeline)
    network = pipeline.definition["Steps"][0]["Arguments"]["NetworkConfig"]["VpcConfig"]
    assert network["Subnets"][0] == Ref("ml_data_infrastructure.subnet.private_1", "id")
    role = resources["role.transformation_customer"].resource
    assert isinstance(role, Role)
    assert "network" in role.policies


def test_a_run_that_fails_raises_an_alarm(script: Path) -> None:
    spec = {"script": script, "source": "customers/"}
    watched = {"feature_store": {"enabled": True}}
    resources = of_template(platform(transformations={"customer": spec}, monitoring=watched), "ml_feature_store")
    alarm = resources["alarm.transformation_customer_failed"].resource
    assert isinstance(alarm, Alarm)
    [metric] = alarm.metrics
    assert metric["dimensions"] == {"PipelineName": Ref("ml_feature_store.pipeline.transformation_customer", "name")}
    assert alarm.actions == [Ref("ml_feature_store.topic.alarms", "arn")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file or directory"),
        ("def transform(frame):\n  return (\n", "line 2: '(' was never closed"),
        ("def clean(frame):\n    return frame\n", "it has no function transform(frame)"),
    ],
)
def test_a_script_that_can_do_nothing_is_told_before_anything_is_done(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "customers.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=r"transformations\.customer\.script") as caught:
        found(path)
    assert caught.value.message.endswith(reason)


def test_a_crawler_that_nobody_wants_is_not_there() -> None:
    resources = of_template(platform(crawler={"enabled": False}), "ml_feature_store")
    assert not {"glue_crawler.raw", "role.crawler"} & resources.keys()
