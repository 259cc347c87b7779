"""The roles of a feature group where IAM is enforced: each does its part, with its own group, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.e2e.project import Project
from tests.localcloud.jobs import until

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

GROUPS = """
target = "local"
[approval]
required = false
[local]
enforce_iam = true
[feature_groups.people]
record_identifier = "id"
event_time = "at"
features = { id = "String", at = "String", age = "Integral" }
[feature_groups.people.access]
[feature_groups.orders]
record_identifier = "id"
event_time = "at"
features = { id = "String", at = "String", age = "Integral" }
"""
AT = "2026-01-01T00:00:00Z"


class As:
    """Somebody with the credentials of one of the group's roles."""

    def __init__(self, project: Project, who: str) -> None:
        self.outputs = project.json("outputs")
        arn = self.outputs[f"ml_feature_store.role.people_{who}"]["arn"]
        made = project.client("sts").assume_role(RoleArn=arn, RoleSessionName=who)["Credentials"]
        keys = (made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        address = daemon.status(project.cloud)
        assert address is not None
        self._session, self._url, self.role = boto3.Session(*keys, region_name="us-east-1"), address.url, arn
        self.runtime = self.client("sagemaker-featurestore-runtime")

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._url, config=Config(retries={"total_max_attempts": 1}))

    def put(self, group: str, key: str = "1") -> None:
        values = {"id": key, "at": AT, "age": "30"}
        record = [{"FeatureName": name, "ValueAsString": value} for name, value in values.items()]
        entries = [{"FeatureGroupName": self.name(group), "Record": record}]
        self.runtime.batch_write_record(Entries=entries)
        self.runtime.put_record(**entries[0])

    def get(self, group: str, key: str = "1") -> Any:
        identifiers = [{"FeatureGroupName": self.name(group), "RecordIdentifiersValueAsString": [key]}]
        self.runtime.batch_get_record(Identifiers=identifiers)
        return self.runtime.get_record(FeatureGroupName=self.name(group), RecordIdentifierValueAsString=key)["Record"]

    def name(self, group: str) -> str:
        return str(self.outputs[f"ml_feature_store.feature_group.{group}"]["name"])

    def ask(self, group: str, work_group: str = "people_analyst") -> tuple[str, str]:
        """The state of a query for all of a group, and the first value or the reason."""
        athena = self.client("athena")
        table = self.outputs[f"ml_feature_store.feature_group.{group}"]
        asked = athena.start_query_execution(
            QueryString=f'SELECT count(DISTINCT id) FROM "{table["database"]}"."{table["table"]}"',
            WorkGroup=self.outputs[f"ml_feature_store.athena_work_group.{work_group}"]["name"],
        )
        found = until(
            lambda: athena.get_query_execution(QueryExecutionId=asked["QueryExecutionId"])["QueryExecution"],
            lambda query: query["Status"]["State"] in ("SUCCEEDED", "FAILED"),
            within=60,
        )
        state = found["Status"]["State"]
        if state == "FAILED":
            return state, found["Status"]["StateChangeReason"]
        rows = athena.get_query_results(QueryExecutionId=asked["QueryExecutionId"])["ResultSet"]["Rows"]
        return state, rows[1]["Data"][0]["VarCharValue"]


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*arguments)
    assert caught.value.response["Error"]["Code"].startswith("AccessDenied")
    return str(caught.value.response["Error"]["Message"])


def test_each_role_does_its_part_with_its_own_group(project: Project) -> None:
    project.configure(GROUPS)
    (project.folder / "config" / "default.toml").write_text("")
    project.run("apply", "--with-dependencies", "--template", "ml_feature_store")
    producer, consumer, analyst = (As(project, who) for who in ("producer", "consumer", "analyst"))
    producer.put("people")
    assert "sagemaker:BatchWriteRecord on resource" in refusal(producer.put, "orders")
    assert "sagemaker:BatchGetRecord" in refusal(producer.get, "people")
    assert "athena:StartQueryExecution" in refusal(producer.ask, "people")

    assert {each["FeatureName"]: each["ValueAsString"] for each in consumer.get("people")}["age"] == "30"
    assert "sagemaker:BatchGetRecord on resource" in refusal(consumer.get, "orders")
    assert "sagemaker:BatchWriteRecord" in refusal(consumer.put, "people")
    assert "athena:StartQueryExecution" in refusal(consumer.ask, "people")

    until(lambda: analyst.ask("people"), lambda found: found == ("SUCCEEDED", "1"), within=60)
    assert "glue:GetTable" in analyst.ask("orders")[1]
    assert "athena:StartQueryExecution" in refusal(analyst.ask, "people", "features")
    assert "sagemaker:BatchGetRecord" in refusal(analyst.get, "people")
    assert "sagemaker:BatchWriteRecord" in refusal(analyst.put, "people")
    bucket, _, prefix = analyst.outputs["ml_feature_store.feature_group.orders"]["offline_uri"][5:].partition("/")
    s3 = analyst.client("s3")
    assert "s3:ListBucket" in refusal(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/"))
    assert "s3:ListBucket" in refusal(lambda: s3.list_objects_v2(Bucket=bucket))
    by_simulation(project, {"producer": producer, "consumer": consumer, "analyst": analyst})
    project.run("plan", "--template", "ml_feature_store")
    project.run("destroy", "--reverse", "--delete-data", "*")
    assert [each["RoleName"] for each in project.client("iam").list_roles()["Roles"]] == []


def by_simulation(project: Project, roles: dict[str, As]) -> None:
    """IAM's own answer, as an auditor would ask for it."""
    iam, account = project.client("iam"), project.client("sts").get_caller_identity()["Account"]
    arn = f"arn:aws:sagemaker:us-east-1:{account}:feature-group/"
    actions = {
        "producer": {"sagemaker:PutRecord", "sagemaker:BatchWriteRecord", "sagemaker:DeleteRecord"},
        "consumer": {"sagemaker:GetRecord", "sagemaker:BatchGetRecord"},
        "analyst": set[str](),
    }
    every = sorted(set().union(*actions.values()) | {"sagemaker:DeleteFeatureGroup", "sagemaker:UpdateFeatureGroup"})
    for who, role in roles.items():
        for group, own in (("people", True), ("orders", False)):
            found = iam.simulate_principal_policy(
                PolicySourceArn=role.role, ActionNames=every, ResourceArns=[arn + role.name(group)]
            )["EvaluationResults"]
            allowed = {each["EvalActionName"] for each in found if each["EvalDecision"] == "allowed"}
            assert allowed == (actions[who] if own else set()), json.dumps([who, group])
