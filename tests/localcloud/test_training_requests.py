"""What the operations on training jobs refuse, list and delete."""

import pytest
from tests.localcloud.jobs import IMAGE, TRUST, Jobs, channel


@pytest.fixture(scope="module")
def jobs(cloud):
    """A bucket, a role, and the calls around training jobs."""
    return Jobs(cloud)


@pytest.fixture(scope="module")
def done(jobs):
    """A job that has ended."""
    return jobs.run("pass", Tags=[{"Key": "team", "Value": "churn"}])


def test_a_name_is_taken_once(jobs, done):
    request = jobs.request("pass") | {"TrainingJobName": done["TrainingJobName"]}
    assert jobs.refused("create_training_job", **request) == (
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        f"exists ({done['TrainingJobArn']})",
    )


@pytest.mark.parametrize("operation", ["describe_training_job", "stop_training_job", "delete_training_job"])
def test_a_job_that_is_not_there(jobs, operation):
    assert jobs.refused(operation, TrainingJobName="nobody") == (
        "ValidationException",
        "Requested resource not found.",
    )


def test_the_role_must_trust_sagemaker(jobs):
    lambda_only = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Principal": {"Service": "lambda.amazonaws.com"}}]}
    for role in (f"{jobs.role}-not", jobs.make_role(lambda_only)):
        code, message = jobs.refused("create_training_job", **jobs.request("pass", RoleArn=role))
        assert code == "ValidationException"
        assert message == (
            f"Could not assume role {role}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role."
        )


@pytest.mark.parametrize("uri", ["s3://no-such-bucket-here/train", "s3://{bucket}/nothing/here"])
def test_the_data_must_be_there(jobs, uri):
    uri = uri.format(bucket=jobs.bucket)
    code, message = jobs.refused("create_training_job", **jobs.request("pass", InputDataConfig=[channel("train", uri)]))
    assert code == "ValidationException"
    assert message.startswith(f'No S3 objects found under S3 URL "{uri}" given in input data source.')
    assert f'the role "{jobs.role}" has "s3:ListBucket" permissions' in message


@pytest.mark.parametrize(
    ("members", "code", "words"),
    [
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "ValidationException", "TrainingImage"),
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "File", "AlgorithmName": "xgb"}},
            "ValidationException",
            "AlgorithmName",
        ),
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "Pipe", "TrainingImage": IMAGE}},
            "ValidationException",
            "Pipe",
        ),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingInputMode": "File",
                    "TrainingImage": IMAGE,
                    "MetricDefinitions": [{"Name": "auc", "Regex": "auc=(["}],
                }
            },
            "ValidationException",
            "regular expression for the metric auc",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 21, "VolumeSizeInGB": 1}},
            "ResourceLimitExceeded",
            "'ml.m5.large for training job usage' is 20 Instances",
        ),
        (
            {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 60}},
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds",
        ),
    ],
)
def test_requests_that_are_refused(jobs, members, code, words):
    refused = jobs.refused("create_training_job", **jobs.request("pass", **members))
    assert refused[0] == code
    assert words in refused[1]
    names = [
        each["TrainingJobName"] for each in jobs.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    ]
    assert len(names) == len(set(names))


def test_tags_of_the_request_are_there(jobs, done):
    assert jobs.sagemaker.list_tags(ResourceArn=done["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "churn"}]


def test_jobs_are_listed_filtered_in_order_and_in_pages(jobs):
    prefix = jobs.name("listed")
    names = [f"{prefix}-{number}" for number in range(3)]
    for name in names:
        jobs.sagemaker.create_training_job(**(jobs.request("pass") | {"TrainingJobName": name}))
    done = [jobs.wait(name) for name in names]
    pages = list(
        jobs.sagemaker.get_paginator("list_training_jobs").paginate(
            NameContains=prefix.upper(), StatusEquals="Completed", SortBy="Name", SortOrder="Descending",
            PaginationConfig={"PageSize": 2},
        )
    )  # fmt: skip
    assert [[each["TrainingJobName"] for each in page["TrainingJobSummaries"]] for page in pages] == [
        [names[2], names[1]],
        [names[0]],
    ]
    assert "NextToken" not in pages[-1]
    summary = pages[0]["TrainingJobSummaries"][0]
    assert summary["TrainingJobArn"] == done[2]["TrainingJobArn"]
    assert summary["TrainingEndTime"] == done[2]["TrainingEndTime"]
    later = jobs.sagemaker.list_training_jobs(NameContains=prefix, CreationTimeAfter=done[0]["CreationTime"])
    assert [each["TrainingJobName"] for each in later["TrainingJobSummaries"]] == names[1:]
    assert jobs.sagemaker.list_training_jobs(NameContains=prefix, StatusEquals="Failed")["TrainingJobSummaries"] == []
    assert jobs.refused("list_training_jobs", NextToken="garbage")[0] == "ValidationException"


def test_only_jobs_that_have_ended_are_deleted(jobs):
    name = jobs.start("import time; time.sleep(60)")
    assert jobs.refused("delete_training_job", TrainingJobName=name)[0] == "ResourceInUse"
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    jobs.wait(name)
    jobs.sagemaker.delete_training_job(TrainingJobName=name)
    assert jobs.refused("describe_training_job", TrainingJobName=name)[1] == "Requested resource not found."
    jobs.sagemaker.create_training_job(**(jobs.request("pass") | {"TrainingJobName": name}))
    assert jobs.wait(name)["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize("name", ["../../escape", "-dash", "a" * 64, "under_score"])
def test_names_are_what_the_model_allows(jobs, name):
    request = jobs.request("pass") | {"TrainingJobName": name}
    code, message = jobs.refused("create_training_job", **request)
    assert code == "ValidationException"
    assert "at 'trainingJobName' failed to satisfy constraint" in message


def test_nothing_leads_out_of_the_jobs_folder(jobs):
    data = [channel("..", jobs.put("escape/x", "1"))]
    assert "channelName" in jobs.refused("create_training_job", **jobs.request("pass", InputDataConfig=data))[1]
    away = {"S3Uri": f"s3://{jobs.bucket}/escape", "LocalPath": "/opt/ml/../../etc"}
    job = jobs.run("pass", CheckpointConfig=away)
    assert job["TrainingJobStatus"] == "Failed"
    assert "keeps checkpoints only under /opt/ml" in job["FailureReason"]


def test_a_name_that_is_free_again_is_taken_at_once(jobs):
    """The end of a job is seen when nothing of it is left that the next one could lose."""
    name = jobs.name()
    for number in range(5):
        script = f"import time; time.sleep(0.05); open('/opt/ml/model/n', 'w').write('{number}')"
        jobs.sagemaker.create_training_job(**(jobs.request(script) | {"TrainingJobName": name}))
        job = jobs.wait(name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"n": str(number).encode()}
        jobs.sagemaker.delete_training_job(TrainingJobName=name)
