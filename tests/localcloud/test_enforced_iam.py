"""IAM enforced: executors act as their roles, and what a role lacks is refused with its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.hosted import Hosted
from tests.localcloud.jobs import Jobs, channel
from tests.localcloud.test_lambdas import Functions

from mlplat.localcloud import daemon


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("strict") / ".mlplat" / "local"
    yield RunningCloud(daemon.start(folder, transition_delay=0.0, enforce_iam=True))
    daemon.stop(folder)


def allow(cloud: RunningCloud, role: str, *statements: dict[str, Any]) -> None:
    """The role's one policy."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
    cloud.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="own", PolicyDocument=json.dumps(document)
    )


def objects(bucket: str, *actions: str) -> dict[str, Any]:
    return {"Action": [f"s3:{each}" for each in actions], "Resource": f"arn:aws:s3:::{bucket}/*"}


LOGS = {"Action": "logs:*", "Resource": "*"}
METRICS = {"Action": "cloudwatch:PutMetricData", "Resource": "*"}


class Session:
    """Calls with the credentials of a role."""

    def __init__(self, cloud: RunningCloud, role: str) -> None:
        made = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="tester")["Credentials"]
        keys = (made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        self._session, self._url = boto3.Session(*keys, region_name="us-east-1"), cloud.url

    def client(self, service: str) -> Any:
        config = Config(retries={"total_max_attempts": 1})
        return self._session.client(service, endpoint_url=self._url, config=config)

    def refused(self, service: str, operation: str, **request: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            getattr(self.client(service), operation)(**request)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


def test_a_training_job_fails_with_the_permission_that_it_lacks(strict: RunningCloud) -> None:
    jobs = Jobs(strict)
    job = jobs.run("print('hello')")
    assert job["TrainingJobStatus"] == "Failed"
    assert "s3:GetObject" in job["FailureReason"] and jobs.role.rpartition("/")[2] in job["FailureReason"]
    allow(strict, jobs.role, objects(jobs.bucket, "GetObject"), LOGS, METRICS)
    job = jobs.run("open('/opt/ml/model/m', 'w').write('x')")
    assert job["TrainingJobStatus"] == "Failed" and "s3:PutObject" in job["FailureReason"]
    allow(strict, jobs.role, objects(jobs.bucket, "GetObject", "PutObject"), LOGS, METRICS)
    job = jobs.run("open('/opt/ml/model/m', 'w').write('x')")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    uri = jobs.put("data/a.csv", "1,2")
    code, text = jobs.refused("create_training_job", **jobs.request("pass", InputDataConfig=[channel("train", uri)]))
    assert code == "ValidationException" and '"s3:ListBucket" permissions' in text


def test_a_script_acts_as_its_role(strict: RunningCloud) -> None:
    jobs = Jobs(strict)
    allow(strict, jobs.role, objects(jobs.bucket, "GetObject", "PutObject"), LOGS, METRICS)
    job = jobs.run(
        """
import boto3
print("I am", boto3.client("sts").get_caller_identity()["Arn"])
for service, call in (("s3", lambda c: c.list_buckets()), ("sagemaker", lambda c: c.list_models())):
    try:
        call(boto3.client(service))
    except Exception as error:
        print("refused:", error)
"""
    )
    lines = "\n".join(jobs.log(job["TrainingJobName"]))
    name = jobs.role.rpartition("/")[2]
    assert f"assumed-role/{name}/SageMaker" in lines
    assert "is not authorized to perform: s3:ListAllMyBuckets" in lines
    assert "AccessDeniedException" in lines and "is not authorized to perform: sagemaker:ListModels" in lines


def test_a_role_that_may_not_log_has_no_log(strict: RunningCloud) -> None:
    jobs = Jobs(strict)
    allow(strict, jobs.role, objects(jobs.bucket, "GetObject", "PutObject"))
    job = jobs.run("print('hello')")
    assert job["TrainingJobStatus"] == "Completed" and jobs.log(job["TrainingJobName"]) == []


def test_policies_of_buckets_and_keys_count(strict: RunningCloud) -> None:
    jobs, kms, s3 = Jobs(strict), strict.client("kms"), strict.client("s3")
    session = Session(strict, jobs.role)
    jobs.put("plain", "1")
    code, text = session.refused("s3", "get_object", Bucket=jobs.bucket, Key="plain")
    resource = f'"arn:aws:s3:::{jobs.bucket}/plain"'
    assert code == "AccessDenied" and text == (
        f"User: arn:aws:sts::{strict.account}:assumed-role/{jobs.role.rpartition('/')[2]}/tester is not authorized to "
        f"perform: s3:GetObject on resource: {resource} because no identity-based policy allows the s3:GetObject action"
    )
    statement = {"Effect": "Allow", "Principal": {"AWS": jobs.role}, **objects(jobs.bucket, "GetObject", "PutObject")}
    s3.put_bucket_policy(Bucket=jobs.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert session.client("s3").get_object(Bucket=jobs.bucket, Key="plain")["Body"].read() == b"1"
    key = kms.create_key()["KeyMetadata"]
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    code, text = session.refused("s3", "put_object", Bucket=jobs.bucket, Key="sealed", Body=b"2", **sealed)
    assert code == "AccessDenied" and f'kms:GenerateDataKey on resource: "{key["Arn"]}"' in text
    s3.put_object(Bucket=jobs.bucket, Key="sealed", Body=b"2", **sealed)
    assert "kms:Decrypt" in session.refused("s3", "get_object", Bucket=jobs.bucket, Key="sealed")[1]
    allow(strict, jobs.role, {"Action": "kms:Decrypt", "Resource": key["Arn"]})
    assert session.client("s3").get_object(Bucket=jobs.bucket, Key="sealed")["Body"].read() == b"2"
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{strict.account}:user/nobody"}, "Action": "kms:*",
           "Resource": "*"}  # fmt: skip
    strict.client("iam").create_user(UserName="nobody")
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", BypassPolicyLockoutSafetyCheck=True,
                       Policy=json.dumps({"Version": "2012-10-17", "Statement": [own]}))  # fmt: skip
    text = session.refused("s3", "get_object", Bucket=jobs.bucket, Key="sealed")[1]
    assert "because no resource-based policy allows the kms:Decrypt action" in text


def test_each_service_refuses_in_its_own_shape(strict: RunningCloud) -> None:
    role = Jobs(strict).role
    session, account = Session(strict, role), strict.account
    code, text = session.refused("logs", "create_log_group", logGroupName="/mine")
    group = f"arn:aws:logs:us-east-1:{account}:log-group:/mine"
    assert code == "AccessDeniedException" and f"logs:CreateLogGroup on resource: {group} because" in text
    datum = [{"MetricName": "m", "Value": 1.0}]
    code, text = session.refused("cloudwatch", "put_metric_data", Namespace="n", MetricData=datum)
    assert "cloudwatch:PutMetricData on resource: * because" in text and code.startswith("AccessDenied")
    code, text = session.refused("sagemaker-runtime", "invoke_endpoint", EndpointName="Mine", Body=b"")
    endpoint = f"arn:aws:sagemaker:us-east-1:{account}:endpoint/mine"
    assert code == "AccessDeniedException" and f"sagemaker:InvokeEndpoint on resource: {endpoint}" in text
    record = [{"FeatureName": "id", "ValueAsString": "1"}]
    code, text = session.refused("sagemaker-featurestore-runtime", "put_record", FeatureGroupName="g", Record=record)
    assert "sagemaker:PutRecord on resource: arn:aws:sagemaker:us-east-1" in text and text.find("feature-group/g") > 0
    code, text = session.refused("athena", "start_query_execution", QueryString="select 1", WorkGroup="w")
    assert f"athena:StartQueryExecution on resource: arn:aws:athena:us-east-1:{account}:workgroup/w" in text
    code, text = session.refused("glue", "get_table", DatabaseName="d", Name="t")
    assert f"glue:GetTable on resource: arn:aws:glue:us-east-1:{account}:table/d/t" in text
    allow(strict, role, {"Action": "sagemaker:CreateModel", "Resource": "*"})
    code, text = session.refused(
        "sagemaker", "create_model", ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"}
    )
    assert f"iam:PassRole on resource: {role}" in text
    namespace = {"StringLike": {"cloudwatch:namespace": "mine/*"}}
    allow(strict, role, {**METRICS, "Condition": namespace}, {"Action": "logs:*", "Resource": f"{group}:*"})
    session.client("cloudwatch").put_metric_data(Namespace="mine/a", MetricData=datum)
    session.client("logs").create_log_group(logGroupName="/mine")
    assert session.refused("cloudwatch", "put_metric_data", Namespace="n", MetricData=datum)[0].startswith("Access")
    assert session.client("sts").get_caller_identity()["Account"] == account


def test_functions_and_endpoints_act_as_their_roles(strict: RunningCloud) -> None:
    functions = Functions(strict)
    allow(strict, functions.role, LOGS)
    name = functions.make(
        """
        import boto3
        def handler(event, context):
            try:
                boto3.client("s3").list_buckets()
            except Exception as error:
                return str(error)
        """
    )
    assert f"assumed-role/{functions.role.rpartition('/')[2]}/{name} is not authorized" in functions.call(name)[0]
    hosted = Hosted(strict)
    model = hosted.model("mine")
    config = hosted.config("mine", {"all": (model, 1.0)})
    endpoint = hosted.create("mine", config, status="Failed")
    found = hosted.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert "the role passed to CreateModel has permissions to download the object" in found["FailureReason"]
    allow(strict, hosted.role, objects(hosted.bucket, "GetObject"), LOGS)
    hosted.delete(endpoint)
    assert hosted.invoke(hosted.create("mine", config), "7")["Body"].endswith(" 7")
