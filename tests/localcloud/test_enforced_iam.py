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
from tests.localcloud.jobs import TRUST, Jobs, channel, until
from tests.localcloud.pipelines import PipelineCalls
from tests.localcloud.test_crawlers import Crawls
from tests.localcloud.test_glue_jobs import GlueJobs
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


def trusting(cloud: RunningCloud, role: str, *principals: dict[str, str]) -> None:
    """SageMaker and these may assume the role."""
    statements = [
        {"Effect": "Allow", "Principal": each, "Action": "sts:AssumeRole"}
        for each in ({"Service": "sagemaker.amazonaws.com"}, *principals)
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    cloud.client("iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=document)


class Session:
    """Calls with the credentials of a role."""

    def __init__(self, cloud: RunningCloud, role: str, **limits: Any) -> None:
        trusting(cloud, role, {"AWS": f"arn:aws:iam::{cloud.account}:root"})
        made = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="tester", **limits)["Credentials"]
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
    assert f"glue:GetTable on resource: arn:aws:glue:us-east-1:{account}:catalog" in text
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
    with pytest.raises(ClientError, match='Also ensure that the role has "s3:GetObject" permissions'):
        hosted.model("mine")
    allow(strict, hosted.role, objects(hosted.bucket, "GetObject"), LOGS)
    model = hosted.model("mine")
    allow(strict, hosted.role, LOGS)
    config = hosted.config("mine", {"all": (model, 1.0)})
    endpoint = hosted.create("mine", config, status="Failed")
    found = hosted.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert "the role passed to CreateModel has permissions to download the object" in found["FailureReason"]
    allow(strict, hosted.role, objects(hosted.bucket, "GetObject"), LOGS)
    hosted.delete(endpoint)
    assert hosted.invoke(hosted.create("mine", config), "7")["Body"].endswith(" 7")


def test_captured_data_is_put_by_the_models_role(strict: RunningCloud) -> None:
    hosted = Hosted(strict)
    allow(strict, hosted.role, objects(hosted.bucket, "GetObject"), LOGS)
    capture = {"EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": f"s3://{hosted.bucket}/kept",
               "CaptureOptions": [{"CaptureMode": "Input"}]}  # fmt: skip
    endpoint = hosted.create(
        "kept", hosted.config("kept", {"all": (hosted.model("kept"), 1.0)}, DataCaptureConfig=capture)
    )
    hosted.invoke(endpoint, "1")
    until((strict.folder / "daemon.log").read_text, lambda log: "capturing data of" in log and "s3:PutObject" in log)
    allow(strict, hosted.role, objects(hosted.bucket, "GetObject", "PutObject"), LOGS)
    kept = until(
        lambda: hosted.s3.list_objects_v2(Bucket=hosted.bucket, Prefix="kept/"), lambda found: found["KeyCount"] == 1
    )
    assert f"kept/{endpoint}/all/" in kept["Contents"][0]["Key"]


def test_the_offline_store_is_written_by_the_groups_role(strict: RunningCloud) -> None:
    jobs = Jobs(strict)
    bucket = {"Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{jobs.bucket}"}

    def described(name: str) -> dict[str, Any]:
        return dict(jobs.sagemaker.describe_feature_group(FeatureGroupName=name))

    def group(status: str) -> str:
        name = jobs.name("group")
        jobs.sagemaker.create_feature_group(
            FeatureGroupName=name, RoleArn=jobs.role, RecordIdentifierFeatureName="id", EventTimeFeatureName="at",
            FeatureDefinitions=[{"FeatureName": each, "FeatureType": "String"} for each in ("id", "at")],
            OfflineStoreConfig={"S3StorageConfig": {"S3Uri": f"s3://{jobs.bucket}/store"}},
        )  # fmt: skip
        until(lambda: described(name)["FeatureGroupStatus"], lambda found: found == status)
        return name

    reason = described(group("CreateFailed"))["FailureReason"]
    assert "is not authorized to perform: s3:GetBucketAcl" in reason and "Error Code: AccessDenied;" in reason
    allow(strict, jobs.role, bucket)
    name = group("Created")
    values = [
        {"FeatureName": "id", "ValueAsString": "1"},
        {"FeatureName": "at", "ValueAsString": "2026-03-01T12:00:00Z"},
    ]
    strict.client("sagemaker-featurestore-runtime").put_record(FeatureGroupName=name, Record=values)
    status = until(lambda: described(name)["OfflineStoreStatus"], lambda found: found["Status"] == "Blocked")
    assert "is not authorized to perform: s3:PutObject" in status["BlockedReason"]
    add = {"FeatureGroupName": name, "FeatureAdditions": [{"FeatureName": "age", "FeatureType": "Integral"}]}
    jobs.sagemaker.update_feature_group(**add)
    update = until(lambda: described(name)["LastUpdateStatus"], lambda found: found["Status"] == "Failed")
    assert "glue:UpdateTable" in update["FailureReason"] and len(described(name)["FeatureDefinitions"]) == 2
    allow(strict, jobs.role, bucket, objects(jobs.bucket, "PutObject"), {"Action": "glue:UpdateTable", "Resource": "*"})
    jobs.sagemaker.update_feature_group(**add)
    until(lambda: described(name)["LastUpdateStatus"], lambda found: found["Status"] == "Successful")
    until(lambda: described(name)["OfflineStoreStatus"], lambda found: found == {"Status": "Active"})


def test_a_boundary_and_session_policies_limit_and_give_nothing(strict: RunningCloud) -> None:
    jobs, iam = Jobs(strict), strict.client("iam")
    name = jobs.role.rpartition("/")[2]
    jobs.put("open/a", "1"), jobs.put("closed/a", "2")
    allow(strict, jobs.role, objects(jobs.bucket, "GetObject"))
    inside = {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{jobs.bucket}/open/*"}
    limit = json.dumps({"Version": "2012-10-17", "Statement": [inside]})
    policy = iam.create_policy(PolicyName=f"limit-{name}", PolicyDocument=limit)["Policy"]["Arn"]

    def reads(session: Session, key: str) -> str:
        return str(session.client("s3").get_object(Bucket=jobs.bucket, Key=key)["Body"].read())

    def refused(session: Session, key: str) -> str:
        return session.refused("s3", "get_object", Bucket=jobs.bucket, Key=key)[1]

    for limited in (Session(strict, jobs.role, Policy=limit), Session(strict, jobs.role, PolicyArns=[{"arn": policy}])):
        assert reads(limited, "open/a") == "b'1'"
        assert "because no session policy allows the s3:GetObject action" in refused(limited, "closed/a")
        assert (
            "because no identity-based policy"
            in limited.refused("s3", "put_object", Bucket=jobs.bucket, Key="open/b", Body=b"")[1]
        )
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=policy)
    session = Session(strict, jobs.role)
    assert reads(session, "open/a") == "b'1'"
    assert "because no permissions boundary allows the s3:GetObject action" in refused(session, "closed/a")
    asked = {"PolicySourceArn": jobs.role, "ActionNames": ["s3:GetObject"]}
    closed = iam.simulate_principal_policy(**asked, ResourceArns=[f"arn:aws:s3:::{jobs.bucket}/closed/a"])
    result = closed["EvaluationResults"][0]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    by_role = {"Effect": "Allow", "Principal": {"AWS": jobs.role}, **objects(jobs.bucket, "GetObject")}
    jobs.s3.put_bucket_policy(Bucket=jobs.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [by_role]}))
    assert "because no permissions boundary" in refused(session, "closed/a")
    by_role["Principal"] = {"AWS": f"arn:aws:sts::{strict.account}:assumed-role/{name}/tester"}
    jobs.s3.put_bucket_policy(Bucket=jobs.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [by_role]}))
    assert reads(session, "closed/a") == "b'2'"


def test_tags_and_names_stand_for_variables(strict: RunningCloud) -> None:
    jobs, iam, user = Jobs(strict), strict.client("iam"), "ann"
    iam.tag_role(RoleName=jobs.role.rpartition("/")[2], Tags=[{"Key": "team", "Value": "churn"}])
    own = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{jobs.bucket}/${{aws:PrincipalTag/team}}/*"}
    allow(strict, jobs.role, own)
    for team in ("churn", "fraud"):
        jobs.put(f"{team}/a", "1")
    session = Session(strict, jobs.role)
    session.client("s3").get_object(Bucket=jobs.bucket, Key="churn/a")
    assert session.refused("s3", "get_object", Bucket=jobs.bucket, Key="fraud/a")[0] == "AccessDenied"
    other = Session(strict, jobs.role, Tags=[{"Key": "team", "Value": "fraud"}])
    other.client("s3").get_object(Bucket=jobs.bucket, Key="fraud/a")
    iam.create_user(UserName=user)
    home = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::*/home/${aws:username}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [home]})
    iam.put_user_policy(UserName=user, PolicyName="home", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    s3 = boto3.client("s3", "us-east-1", endpoint_url=strict.url, aws_access_key_id=key["AccessKeyId"],
                      aws_secret_access_key=key["SecretAccessKey"])  # fmt: skip
    s3.put_object(Bucket=jobs.bucket, Key="home/ann/x", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=jobs.bucket, Key="home/bob/x", Body=b"")


def test_a_role_is_assumed_by_whom_its_trust_policy_names(strict: RunningCloud) -> None:
    first, jobs = Jobs(strict).role, Jobs(strict)
    session = Session(strict, first)
    asked = {"RoleArn": jobs.role, "RoleSessionName": "next"}
    code, text = session.refused("sts", "assume_role", **asked)
    assert code == "AccessDenied" and "because no resource-based policy allows the sts:AssumeRole action" in text
    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole on resource"):
        strict.client("sts").assume_role(**asked)
    trusting(strict, jobs.role, {"AWS": f"arn:aws:iam::{strict.account}:root"})
    strict.client("sts").assume_role(**asked)
    assert "because no identity-based policy allows" in session.refused("sts", "assume_role", **asked)[1]
    trusting(strict, jobs.role, {"AWS": first})
    session.client("sts").assume_role(**asked)
    gone = jobs.role + "-gone"
    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole on resource"):
        strict.client("sts").assume_role(RoleArn=gone, RoleSessionName="next")
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        session.client("sts").assume_role(**asked, Policy="{")


def test_a_pipeline_acts_as_its_role(strict: RunningCloud) -> None:
    calls = PipelineCalls(Jobs(strict))
    jobs, role = calls.jobs, calls.jobs.make_role(TRUST)
    allow(strict, jobs.role, objects(calls.bucket, "GetObject", "PutObject"), LOGS)
    program = "open('/opt/ml/processing/output/said', 'w').write('x')"
    name = calls.create(calls.processing("Say", program), request={"RoleArn": role})
    made = {"Action": "sagemaker:CreateProcessingJob", "Resource": "*"}
    tags = {"Action": "sagemaker:AddTags", "Resource": "*"}
    passed = {"Action": "iam:PassRole", "Resource": jobs.role}
    for lacking, statements in (
        ("sagemaker:CreateProcessingJob", (passed,)),
        ("sagemaker:AddTags", (made, passed)),
        ("iam:PassRole", (made, tags)),
    ):
        allow(strict, role, *statements)
        arn = calls.start(name)
        assert calls.wait(arn)["PipelineExecutionStatus"] == "Failed"
        reason = calls.steps(arn)["Say"]["FailureReason"]
        assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: User: ")
        assert f"is not authorized to perform: {lacking}" in reason
    allow(strict, role, made, tags, passed)
    arn = calls.start(name)
    calls.wait(arn)
    assert "Failed to invoke sagemaker:DescribeProcessingJob" in calls.steps(arn)["Say"]["FailureReason"]
    allow(strict, role, made, tags, passed, {"Action": "sagemaker:DescribeProcessingJob", "Resource": "*"})
    assert calls.wait(calls.start(name))["PipelineExecutionStatus"] == "Succeeded"


def test_whoever_starts_a_pipeline_needs_to_be_allowed(strict: RunningCloud) -> None:
    calls = PipelineCalls(Jobs(strict))
    name = calls.create(calls.processing("Say", "pass"))
    arn = calls.sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    role = calls.jobs.make_role(
        {**TRUST, "Statement": [{**TRUST["Statement"][0], "Principal": {"AWS": strict.account}}]}
    )
    allow(strict, role, {"Action": "sagemaker:DescribePipeline", "Resource": arn})
    session = Session(strict, role)
    code, text = session.refused("sagemaker", "start_pipeline_execution", PipelineName=name)
    assert code == "AccessDeniedException"
    assert f"sagemaker:StartPipelineExecution on resource: {arn}" in text
    allow(strict, role, {"Action": "sagemaker:StartPipelineExecution", "Resource": arn})
    calls.wait(session.client("sagemaker").start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"])


def test_glue_acts_as_the_role_of_a_job_or_crawler(strict: RunningCloud) -> None:
    glue, crawls = GlueJobs(strict), Crawls(strict)
    read = f"import boto3; boto3.client('s3').get_object(Bucket='{glue.jobs.bucket}', Key='secret')"
    glue.jobs.put("secret", "x")
    script = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{glue.jobs.bucket}/*.py"}
    run = glue.run(read)
    assert "s3:GetObject" in run["ErrorMessage"] and run["ErrorMessage"].startswith("Could not download s3://")
    allow(strict, glue.role, script, LOGS)
    assert "(AccessDenied) when calling the GetObject operation" in glue.run(read)["ErrorMessage"]
    allow(strict, glue.role, objects(glue.jobs.bucket, "GetObject"), LOGS)
    assert glue.run(read)["JobRunState"] == "SUCCEEDED"
    crawls.jobs.put("raw/1.csv", "a,b\n1,x\n2,y\n")
    crawls.create()
    listed = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{crawls.jobs.bucket}"}
    allow(strict, crawls.role, listed, objects(crawls.jobs.bucket, "GetObject"), LOGS)
    last = crawls.crawl()
    assert last["Status"] == "FAILED" and "not authorized to perform: glue:GetDatabase" in last["ErrorMessage"]
    allow(
        strict,
        crawls.role,
        listed,
        objects(crawls.jobs.bucket, "GetObject"),
        LOGS,
        {"Action": "glue:*", "Resource": "*"},
    )
    assert crawls.crawl()["Status"] == "SUCCEEDED"
    assert sorted(crawls.tables()) == ["raw"]
