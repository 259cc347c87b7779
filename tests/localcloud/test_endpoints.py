"""Endpoints through plain boto3: statuses, updates that drop no request, rollbacks, failures, and no process left."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.hosted import IMAGE, Hosted, host, until

PING_FAILED = (
    "The primary container for production variant {} did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)


@pytest.fixture
def hosted(cloud: Any) -> Iterator[Hosted]:
    """Models and endpoints of this test."""
    yield from host(cloud)


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def servers(hosted: Hosted, endpoint: str) -> set[int]:
    """The processes that the local cloud's register of children has for an endpoint, and that live."""
    records = [json.loads(file.read_text()) for file in (hosted.cloud.folder / "children").glob("*.json")]
    own = {each["pid"] for each in records if each["label"].startswith(f"endpoint {endpoint} ")}
    return {pid for pid in own if alive(pid)}


def test_create_describe_and_delete(hosted: Hosted) -> None:
    config = hosted.config("c", {"a": (hosted.model("one"), 0.8), "b": (hosted.model("two"), 0.2)})
    name = f"Shop-{hosted.mark}"
    tags = [{"Key": "team", "Value": "x"}]
    arn = hosted.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tags)["EndpointArn"]
    assert arn.endswith(f":endpoint/{name.lower()}")
    fresh = hosted.sagemaker.describe_endpoint(EndpointName=name)
    assert (fresh["EndpointStatus"], "ProductionVariants" in fresh) == ("Creating", False)

    found = hosted.settled(name)
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == config
    first, second = found["ProductionVariants"]
    assert (first["VariantName"], second["VariantName"]) == ("a", "b")
    assert second["CurrentWeight"] == second["DesiredWeight"] == pytest.approx(0.2)
    assert first["CurrentInstanceCount"] == 1
    assert "sagemaker-scikit-learn" in first["DeployedImages"][0]["ResolvedImage"]
    assert hosted.sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
    assert len(servers(hosted, name)) == 2

    hosted.sagemaker.delete_endpoint(EndpointName=name)
    code, message = refusal(hosted.invoke, endpoint=name)
    assert (code, message) == ("ValidationError", f"Endpoint {name} of account {hosted.cloud.account} not found.")
    until(hosted.names, lambda names: name not in names)
    assert servers(hosted, name) == set()
    gone = ("ValidationException", f'Could not find endpoint "{arn}".')
    assert refusal(hosted.sagemaker.describe_endpoint, EndpointName=name) == gone
    assert refusal(hosted.sagemaker.delete_endpoint, EndpointName=name) == gone


def test_what_is_there_or_is_not_there_or_is_busy(hosted: Hosted) -> None:
    sagemaker = hosted.sagemaker
    config = hosted.config("c", {"a": (hosted.model("one", "import time; time.sleep(1)\ndef model_fn(d): ..."), 1)})
    name = f"busy-{hosted.mark}"
    absent = refusal(sagemaker.create_endpoint, EndpointName=name, EndpointConfigName="no-such")
    assert absent[0] == "ValidationException"
    assert absent[1].startswith('Could not find endpoint configuration "arn:')
    arn = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)["EndpointArn"]
    busy = ("ValidationException", f'Cannot update in-progress endpoint "{arn}".')
    weights = [{"VariantName": "a", "DesiredWeight": 1.0}]
    assert refusal(sagemaker.delete_endpoint, EndpointName=name) == busy
    assert refusal(sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config) == busy
    update = sagemaker.update_endpoint_weights_and_capacities
    assert refusal(update, EndpointName=name, DesiredWeightsAndCapacities=weights) == busy
    again = refusal(sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=config)
    assert again == ("ValidationException", f'Cannot create already existing endpoint "{arn}".')
    assert refusal(hosted.invoke, endpoint=name)[0] == "ValidationError"
    assert hosted.settled(name)["EndpointStatus"] == "InService"
    weights = [{"VariantName": "z", "DesiredWeight": 1.0}]
    unknown = refusal(update, EndpointName=name, DesiredWeightsAndCapacities=weights)
    assert unknown[0] == "ValidationException"
    assert '"z"' in unknown[1]
    assert hosted.settled(name)["EndpointStatus"] == "InService"


def test_a_model_that_can_not_load_fails_the_endpoint_with_the_cause_in_its_log(hosted: Hosted) -> None:
    broken = hosted.model("broken", "def model_fn(d): raise OSError('weights are gone')")
    config = hosted.config("c", {"good": (hosted.model("one"), 1), "bad": (broken, 1)})
    name = hosted.create("failing", config, status="Failed")
    assert hosted.settled(name)["FailureReason"] == PING_FAILED.format("bad")
    assert "weights are gone" in hosted.log(name, "bad", "weights are gone")
    assert servers(hosted, name) == set()
    config = hosted.config("d", {"good": (hosted.model("two"), 1)})
    assert refusal(hosted.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)[0] == (
        "ValidationException"
    )
    hosted.delete(name)


def test_model_data_that_is_not_there_or_is_no_archive(hosted: Hosted) -> None:
    lost = hosted.model("lost")
    hosted.s3.delete_object(Bucket=hosted.bucket, Key="models/lost.tar.gz")
    name = hosted.create("lost", hosted.config("c", {"a": (lost, 1)}), status="Failed")
    reason = hosted.settled(name)["FailureReason"]
    assert reason.startswith('Failed to download model data for container "container_1" from URL: "s3://')
    torn = hosted.model("torn")
    hosted.s3.put_object(Bucket=hosted.bucket, Key="models/torn.tar.gz", Body=b"not an archive")
    name = hosted.create("torn", hosted.config("d", {"a": (torn, 1)}), status="Failed")
    assert hosted.settled(name)["FailureReason"].startswith("Failed to extract model data archive")


def test_weights_change_in_place(hosted: Hosted) -> None:
    config = hosted.config("c", {"a": (hosted.model("one"), 1), "b": (hosted.model("two"), 0)})
    name = hosted.create("weights", config)
    before = servers(hosted, name)
    assert {hosted.invoke(name)["InvokedProductionVariant"] for _ in range(20)} == {"a"}
    hosted.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0.0},
            {"VariantName": "b", "DesiredWeight": 0.3, "DesiredInstanceCount": 2},
        ],
    )
    first, second = hosted.settled(name)["ProductionVariants"]
    assert first["CurrentWeight"] == 0.0
    assert (second["CurrentWeight"], second["CurrentInstanceCount"]) == (pytest.approx(0.3), 2)
    assert {hosted.invoke(name)["InvokedProductionVariant"] for _ in range(20)} == {"b"}
    assert hosted.invoke(name, TargetVariant="a")["InvokedProductionVariant"] == "a"
    assert servers(hosted, name) == before


def test_no_request_fails_while_weights_and_fleets_change(hosted: Hosted) -> None:
    """Eight clients without retries, while weights change and the whole fleet is replaced, twice."""
    models = [hosted.model(name) for name in ("one", "two", "three")]
    configs = [hosted.config(f"c{i}", {"a": (model, 1), "b": (model, 1)}) for i, model in enumerate(models)]
    name = hosted.create("steady", configs[0])
    runtime = hosted.cloud.client("sagemaker-runtime", retries={"total_max_attempts": 1})
    heard: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="text/csv")
                heard[answer["Body"].read().decode().split()[0]] += 1
            except Exception as error:
                heard[repr(error)] += 1

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        for config in configs[1:]:
            hosted.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 3.0}]
            )
            assert hosted.settled(name)["EndpointStatus"] == "InService"
            hosted.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
            found = hosted.settled(name)
            assert (found["EndpointConfigName"], "PendingDeploymentSummary" in found) == (config, False)
            assert hosted.invoke(name)["Body"].split()[0] == ("two" if config == configs[1] else "three")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert set(heard) == {"one", "two", "three"}
    assert len(servers(hosted, name)) == 2


def test_an_update_that_fails_is_rolled_back(hosted: Hosted) -> None:
    config = hosted.config("c", {"a": (hosted.model("one"), 1)})
    name = hosted.create("rollback", config)
    broken = hosted.config("d", {"a": (hosted.model("broken", "1 / 0"), 1)})
    hosted.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    assert hosted.sagemaker.describe_endpoint(EndpointName=name)["PendingDeploymentSummary"]["EndpointConfigName"] == (
        broken
    )
    found = hosted.settled(name)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config)
    assert found["FailureReason"] == PING_FAILED.format("a")
    assert hosted.invoke(name)["Body"].startswith("one")
    good = hosted.config("e", {"a": (hosted.model("two"), 1)})
    hosted.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=good)
    assert "FailureReason" not in hosted.settled(name)


def test_an_update_may_keep_what_the_variants_have_become(hosted: Hosted) -> None:
    model = hosted.model("one")
    name = hosted.create("retain", hosted.config("c", {"a": (model, 1), "b": (model, 1)}))
    hosted.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 5.0, "DesiredInstanceCount": 3}],
    )
    hosted.settled(name)
    config = hosted.config("d", {"a": (model, 1), "b": (model, 2)})
    hosted.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=config,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredInstanceCount"}],
    )
    found = {each["VariantName"]: each for each in hosted.settled(name)["ProductionVariants"]}
    assert (found["a"]["CurrentWeight"], found["a"]["CurrentInstanceCount"]) == (5.0, 1)
    assert found["b"]["CurrentWeight"] == 1.0


def test_a_model_server_that_dies_is_started_again_and_it_is_told(hosted: Hosted) -> None:
    code = """
        import os
        def model_fn(model_dir): return os.urandom(8).hex()
        def transform_fn(model, body, content_type, accept):
            return os._exit(3) if body == "die" else model
    """
    name = hosted.create("mortal", hosted.config("c", {"a": (hosted.model("mortal", code), 1)}))
    first = hosted.invoke(name)["Body"]
    code, message = refusal(hosted.invoke, endpoint=name, body="die")
    assert code == "ModelError"
    assert "could not load the entire response body" in message
    assert until(lambda: hosted.invoke(name)["Body"], lambda body: body != first)
    assert "ended with exit code 3" in hosted.log(name, "a", "exit code 3")
    assert len(servers(hosted, name)) == 1


def test_code_on_s3_the_environment_and_an_opt_ml_of_its_own(hosted: Hosted) -> None:
    code = """
        import os
        def model_fn(model_dir): return os.path.exists("/opt/ml/model/name") and model_dir
        def transform_fn(model, body, content_type, accept):
            return f"{model} {os.environ['GREETING']} {os.environ['AWS_ENDPOINT_URL']} {'AWS_PROFILE' in os.environ}"
    """
    submitted = hosted.upload("source/sourcedir.tar.gz", {"serve.py": code})
    environment = {
        "SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": submitted, "GREETING": "hello"
    }  # fmt: skip
    model = hosted.model("packed", None, Environment=environment)
    name = hosted.create("packed", hosted.config("c", {"a": (model, 1)}))
    assert hosted.invoke(name)["Body"] == f"/opt/ml/model hello {hosted.cloud.url} False"


def test_model_data_that_is_a_prefix(hosted: Hosted) -> None:
    for key, body in (("name", b"loose"), ("code/inference.py", None)):
        text = body or b"def model_fn(d): return open(d + '/name').read()\ndef transform_fn(m, b, c, a): return m\n"
        hosted.s3.put_object(Bucket=hosted.bucket, Key=f"loose/{key}", Body=text)
    source = {"S3Uri": f"s3://{hosted.bucket}/loose/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"}
    model = f"loose-{hosted.mark}"
    hosted.sagemaker.create_model(
        ModelName=model,
        PrimaryContainer={**container, "ModelDataSource": {"S3DataSource": source}},
        ExecutionRoleArn=hosted.role,
    )
    name = hosted.create("loose", hosted.config("c", {"a": (model, 1)}))
    assert hosted.invoke(name)["Body"] == "loose"


def test_list_filters_sorts_and_pages(hosted: Hosted) -> None:
    config = hosted.config("c", {"a": (hosted.model("one"), 1)})
    made = [hosted.create(name, config) for name in ("list-a", "list-b", "list-c")]
    mine = {"NameContains": hosted.mark}
    assert hosted.names() == made[::-1]
    by_name = hosted.sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending", **mine)["Endpoints"]
    assert [each["EndpointName"] for each in by_name] == made
    assert hosted.sagemaker.list_endpoints(StatusEquals="Failed", **mine)["Endpoints"] == []
    pages = hosted.sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 2}, **mine)
    assert [len(page["Endpoints"]) for page in pages] == [2, 1]


def test_what_is_not_served_is_refused(hosted: Hosted) -> None:
    model = hosted.model("one")
    shadow = [{"VariantName": "s", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]
    config = hosted.config("c", {"a": (model, 1)}, ShadowProductionVariants=shadow)
    code, message = refusal(
        hosted.sagemaker.create_endpoint, EndpointName=f"shadow-{hosted.mark}", EndpointConfigName=config
    )
    assert code == "ValidationException"
    assert "shadow variants" in message


def test_a_model_of_a_model_package(hosted: Hosted) -> None:
    """The package says image, data and environment; the model's own environment comes on top of it."""
    code = """
        import os
        def model_fn(model_dir): return os.environ["GREETING"] + " " + os.environ["WHOM"]
        def transform_fn(model, body, content_type, accept): return model
    """
    url = hosted.upload("packaged.tar.gz", {"code/inference.py": code})
    group = f"packages-{hosted.mark}"
    hosted.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    container = {"Image": IMAGE, "ModelDataUrl": url, "Environment": {"GREETING": "hello", "WHOM": "nobody"}}
    package = hosted.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    model = f"packaged-{hosted.mark}"
    hosted.sagemaker.create_model(
        ModelName=model,
        PrimaryContainer={"ModelPackageName": package, "Environment": {"WHOM": "world"}},
        ExecutionRoleArn=hosted.role,
    )
    name = hosted.create("packaged", hosted.config("c", {"a": (model, 1)}))
    assert hosted.invoke(name)["Body"] == "hello world"
    variant = hosted.settled(name)["ProductionVariants"][0]
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
