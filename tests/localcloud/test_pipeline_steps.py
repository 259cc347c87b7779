"""Every type of step that the local cloud runs, and what decides whether one runs: conditions, the cache, retries."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.localcloud.hosted import ECHO, IMAGE
from tests.localcloud.jobs import Jobs, channel
from tests.localcloud.pipelines import PipelineCalls, got, joined
from tests.localcloud.searches import Tuning
from tests.localcloud.test_lambdas import Functions

from mlplat.localcloud import daemon

REPORT = """
import json
open("/opt/ml/processing/output/report.json", "w").write(json.dumps({"metrics": {"auc": [0.5, 0.9]}}))
"""
TRAIN = """
import os
os.makedirs(os.path.join(os.environ["SM_MODEL_DIR"], "code"))
open(os.path.join(os.environ["SM_MODEL_DIR"], "name"), "w").write("trained")
code = open(os.path.join(os.environ["SM_CHANNEL_CODE"], "inference.py")).read()
open(os.path.join(os.environ["SM_MODEL_DIR"], "code", "inference.py"), "w").write(code)
"""


@pytest.fixture(scope="module")
def pipelines(cloud: Any) -> PipelineCalls:
    """A bucket, a role, and the calls around pipelines."""
    return PipelineCalls(Jobs(cloud))


def step(name: str, kind: str, arguments: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments} | members


def unnamed(request: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: each for name, each in request.items() if name != member}


def test_train_register_and_transform(pipelines: PipelineCalls, cloud: Any) -> None:
    jobs, group = pipelines.jobs, pipelines.jobs.name("models")
    pipelines.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    code = channel("code", jobs.put("code/inference.py", ECHO))
    rows = jobs.put("rows/one.csv", "1,2\n")
    artifacts = got("Steps.Train.ModelArtifacts.S3ModelArtifacts")
    container = {"Image": IMAGE, "ModelDataUrl": artifacts}
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": rows}}, "ContentType": "text/csv"}
    inference = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    execution, steps = pipelines.run(
        step(
            "Transform",
            "Transform",
            {
                "ModelName": got("Steps.Create.ModelName"),
                "TransformInput": source,
                "TransformOutput": {"S3OutputPath": joined("/", f"s3://{jobs.bucket}", got("Execution.PipelineName"))},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            },
        ),
        step("Create", "Model", {"PrimaryContainer": container, "ExecutionRoleArn": jobs.role}),
        step("Register", "RegisterModel", {"ModelPackageGroupName": group, "InferenceSpecification": inference}),
        step("Train", "Training", unnamed(jobs.request(TRAIN, InputDataConfig=[code]), "TrainingJobName")),
    )
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    made = {name: next(iter(each["Metadata"].values()))["Arn"].split(":")[5] for name, each in steps.items()}
    name = execution["PipelineArn"].rpartition("/")[2]
    assert {each: text.partition("/")[0] for each, text in made.items()} == {
        "Train": "training-job", "Create": "model", "Register": "model-package", "Transform": "transform-job",
    }  # fmt: skip
    assert pipelines.read(f"{name}/one.csv.out").startswith("trained ")
    assert made["Register"] == f"model-package/{group}/1"


def test_tuning_gives_its_best_job(pipelines: PipelineCalls) -> None:
    request = Tuning(pipelines.jobs).request(most=2, RandomSeed=1)
    best = got("Steps.Tune.BestTrainingJob.TrainingJobName")
    listed = got("Steps.Tune.TrainingJobSummaries[0].TrainingJobName")
    tell = pipelines.processing(
        "Tell", "import sys; open('/opt/ml/processing/output/best', 'w').write(str(sys.argv[1:]))", best, listed
    )
    execution, steps = pipelines.run(tell, step("Tune", "Tuning", unnamed(request, "HyperParameterTuningJobName")))
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    job = steps["Tune"]["Metadata"]["TuningJob"]["Arn"].rpartition("/")[2]
    assert len(job) <= 32
    first, second = json.loads(pipelines.read("Tell/best").replace("'", '"'))
    assert first == second
    assert first.startswith(f"{job}-")


def test_a_property_file_decides_and_a_fail_step_ends_it(pipelines: PipelineCalls) -> None:
    files = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}]
    auc = {"Std:JsonGet": {"PropertyFile": got("Steps.Measure.PropertyFiles.Report"), "Path": "metrics.auc[1]"}}
    good = {"Type": "GreaterThanOrEqualTo", "LeftValue": auc, "RightValue": got("Parameters.Least")}
    message = joined(" ", "auc", auc, "is less than", got("Parameters.Least"))
    decide = step(
        "Decide",
        "Condition",
        {
            "Conditions": [good],
            "IfSteps": [pipelines.processing("Celebrate", REPORT)],
            "ElseSteps": [step("GiveUp", "Fail", {"ErrorMessage": message})],
        },
    )
    name = pipelines.create(
        decide,
        pipelines.processing("Measure", REPORT, PropertyFiles=files),
        Parameters=[{"Name": "Least", "Type": "Float", "DefaultValue": 0.8}],
    )
    arn = pipelines.start(name)
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Succeeded", pipelines.steps(arn)
    assert pipelines.steps(arn)["Decide"]["Metadata"]["Condition"]["Outcome"] == "True"
    assert set(pipelines.steps(arn)) == {"Measure", "Decide", "Celebrate"}
    arn = pipelines.start(name, {"Least": "0.95"})
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Failed"
    steps = pipelines.steps(arn)
    assert set(steps) == {"Measure", "Decide", "GiveUp"}
    assert steps["GiveUp"]["FailureReason"] == "auc 0.9 is less than 0.95"
    assert steps["GiveUp"]["Metadata"]["Fail"]["ErrorMessage"] == "auc 0.9 is less than 0.95"


def test_a_function_gives_out_values(pipelines: PipelineCalls, cloud: Any) -> None:
    functions = Functions(cloud)
    twice = functions.make("def handler(event, context): return {'twice': 2 * event['n'], 'text': 'x'}")
    raises = functions.make("def handler(event, context): raise ValueError('no')")
    arns = [
        functions.lambdas.get_function(FunctionName=each)["Configuration"]["FunctionArn"] for each in (twice, raises)
    ]
    outputs = [{"OutputName": "twice", "OutputType": "Integer"}, {"OutputName": "text", "OutputType": "String"}]
    use = {"Type": "Equals", "LeftValue": got("Steps.Call.OutputParameters['twice']"), "RightValue": 42}
    execution, steps = pipelines.run(
        step("Check", "Condition", {"Conditions": [use], "IfSteps": [], "ElseSteps": []}),
        step("Call", "Lambda", {"n": got("Parameters.N")}, FunctionArn=arns[0], OutputParameters=outputs),
        step("Raise", "Lambda", {}, FunctionArn=arns[1], OutputParameters=[]),
        step("Lack", "Lambda", {"n": 1}, FunctionArn=arns[0], OutputParameters=[{"OutputName": "absent"}]),
        Parameters=[{"Name": "N", "Type": "Integer", "DefaultValue": 21}],
    )
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert steps["Check"]["Metadata"]["Condition"]["Outcome"] == "True"
    assert steps["Call"]["Metadata"]["Lambda"]["OutputParameters"] == [
        {"Name": "twice", "Value": "42"},
        {"Name": "text", "Value": "x"},
    ]
    assert "ValueError" in steps["Raise"]["FailureReason"]
    assert "did not return the outputs ['absent']" in steps["Lack"]["FailureReason"]


def test_the_cache_gives_what_ran_with_the_same(pipelines: PipelineCalls) -> None:
    cached = pipelines.processing(
        "Cached", REPORT, got("Parameters.Word"), CacheConfig={"Enabled": True, "ExpireAfter": "PT1H"}
    )
    after = pipelines.processing("After", REPORT, got("Steps.Cached.ProcessingJobName"))
    word = [{"Name": "Word", "Type": "String", "DefaultValue": "a"}]
    name = pipelines.create(cached, after, Parameters=word)

    def run(**parameters: str) -> tuple[str, dict[str, Any]]:
        arn = pipelines.start(name, parameters)
        assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Succeeded", pipelines.steps(arn)
        return arn, pipelines.steps(arn)["Cached"]

    first, ran = run()
    assert "CacheHitResult" not in ran
    _, hit = run()
    assert hit["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert hit["Metadata"] == ran["Metadata"]
    assert "CacheHitResult" not in run(Word="b")[1]
    daemon.advance(pipelines.jobs.cloud.address, 3700)
    assert "CacheHitResult" not in run()[1]


def test_a_job_is_tried_again_where_a_policy_says_so(pipelines: PipelineCalls) -> None:
    """More instances than the quota allows are refused as ResourceLimitExceeded."""
    policy = {"ExceptionType": ["SageMaker.RESOURCE_LIMIT"], "IntervalSeconds": 0, "BackoffRate": 1, "MaxAttempts": 2}
    many = pipelines.processing("Many", REPORT, RetryPolicies=[policy])
    many["Arguments"]["ProcessingResources"] = copy.deepcopy(many["Arguments"]["ProcessingResources"])
    many["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 21
    once = copy.deepcopy(many) | {"Name": "Once", "RetryPolicies": []}
    _, steps = pipelines.run(many, once)
    assert {name: each["AttemptCount"] for name, each in steps.items()} == {"Many": 3, "Once": 1}
    assert "Error Details: The account-level service limit" in steps["Many"]["FailureReason"]
    assert "Retry not appropriate" in steps["Once"]["FailureReason"]
    assert steps["Once"]["FailureReason"].endswith("for the exception type SAGEMAKER_RESOURCE_LIMIT.")


def test_a_fail_step_tells_the_outcome_of_a_condition(pipelines: PipelineCalls) -> None:
    """As the SDK's own tests against AWS have it, the text of an outcome included."""
    never = {"Type": "Equals", "LeftValue": 1, "RightValue": 2}
    check = step("Check", "Condition", {"Conditions": [never], "IfSteps": [], "ElseSteps": []})
    message = joined(": ", "1 == 2 returns", got("Steps.Check.Outcome"))
    execution, steps = pipelines.run(check, step("Stop", "Fail", {"ErrorMessage": message}))
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert steps["Stop"]["FailureReason"] == "1 == 2 returns: false"
    _, steps = pipelines.run(step("Stop", "Fail", {"ErrorMessage": ""}))
    assert "FailureReason" not in steps["Stop"]
