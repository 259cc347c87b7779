"""InvokeEndpoint through plain boto3: who answers, what is passed on, AWS's errors, metrics and captured data."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import joblib
import numpy as np
import pytest
from botocore.exceptions import ClientError
from sklearn.linear_model import LogisticRegression
from tests.localcloud.hosted import Hosted, host, until

from mlplat.localcloud.executors.router import as_float32, choose

REPORT = """
    import json
    def model_fn(model_dir): return None
    def transform_fn(model, body, content_type, accept):
        if body == "raise":
            raise ValueError("negative age")
        told = {"type": type(body).__name__, "content_type": content_type, "accept": accept, "size": len(body)}
        return json.dumps(told), accept
"""


def error_of(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response


@pytest.fixture
def hosted(cloud: Any) -> Iterator[Hosted]:
    """Models and endpoints of this test."""
    yield from host(cloud)


@pytest.fixture
def endpoint(hosted: Hosted) -> str:
    """An endpoint of two variants, of which `idle` gets no traffic."""
    report = hosted.model("report", REPORT)
    return str(hosted.create("report", hosted.config("c", {"main": (report, 1), "idle": (report, 0)})))


def test_a_scikit_learn_model_with_the_containers_defaults(hosted: Hosted) -> None:
    fitted = LogisticRegression().fit(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [6.0, 5.0]]), [0, 0, 1, 1])
    packed = io.BytesIO()
    joblib.dump(fitted, packed)
    code = "import joblib\ndef model_fn(model_dir): return joblib.load(model_dir + '/model.joblib')\n"
    model = hosted.model("sklearn", code, {"model.joblib": packed.getvalue()})
    name = hosted.create("sklearn", hosted.config("c", {"AllTraffic": (model, 1)}))
    answer = hosted.invoke(name, "0.1,0.2\n5.5,6\n")
    assert json.loads(answer["Body"]) == [0, 1]
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "AllTraffic")
    as_csv = hosted.invoke(name, "[[0, 1], [7, 7]]", ContentType="application/json", Accept="text/csv")
    assert (as_csv["Body"], as_csv["ContentType"]) == ("0\n1\n", "text/csv")
    error = error_of(lambda: hosted.invoke(name, "a,b\n1,2\n"))
    assert error["OriginalStatusCode"] == 500
    assert "could not convert string to float" in error["OriginalMessage"]
    error = error_of(lambda: hosted.invoke(name, "x", ContentType="application/x-image"))
    assert error["OriginalStatusCode"] == 415
    assert error["Error"]["Message"].startswith("Received client error (415) from model with message")


def test_headers_reach_the_container(hosted: Hosted, endpoint: str) -> None:
    told = json.loads(hosted.invoke(endpoint, "héllo", Accept="text/plain")["Body"])
    assert told == {"type": "str", "content_type": "text/csv", "accept": "text/plain", "size": 5}
    body = bytes(range(256)) * 8000
    answer = hosted.invoke(
        endpoint, body, ContentType="application/octet-stream", CustomAttributes="trace=1", InferenceId="id-1"
    )
    told = json.loads(answer["Body"])
    assert told == {
        "type": "bytes", "content_type": "application/octet-stream", "accept": "application/json", "size": len(body)
    }  # fmt: skip


def test_a_body_of_any_type_is_only_a_body(hosted: Hosted, endpoint: str) -> None:
    for kind in ("application/x-www-form-urlencoded", "application/x-amz-json-1.0", "application/json", "multipart/x"):
        told = json.loads(hosted.invoke(endpoint, b"Action=DeleteEndpoint&b=%20", ContentType=kind)["Body"])
        assert (told["content_type"], told["size"]) == (kind, 27)


def test_a_target_variant_is_taken_whatever_its_weight(hosted: Hosted, endpoint: str) -> None:
    assert hosted.invoke(endpoint, TargetVariant="idle")["InvokedProductionVariant"] == "idle"
    error = error_of(lambda: hosted.invoke(endpoint, TargetVariant="nobody"))
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert "nobody" in error["Error"]["Message"]


def test_a_model_that_raises_is_a_model_error_in_awss_words(hosted: Hosted, endpoint: str) -> None:
    error = error_of(lambda: hosted.invoke(endpoint, "raise"))
    account = hosted.cloud.account
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["Error"]["Code"] == "ModelError"
    assert error["Error"]["Message"] == (
        'Received server error (500) from model with message "negative age". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        f"#logEventViewer:group={group} in account {account} for more information."
    )
    assert (error["OriginalStatusCode"], error["OriginalMessage"]) == (500, "negative age")
    assert error["LogStreamArn"] == f"arn:aws:logs:us-east-1:{account}:log-group:{group}"
    assert "ValueError: negative age" in hosted.log(endpoint, "main", "ValueError")


@pytest.mark.parametrize(
    ("request_of", "says"),
    [
        ({"TargetModel": "a.tar.gz"}, "is not a multi-model endpoint and does not support target model header."),
        ({"InferenceComponentName": "x"}, "is not an inference component"),
        ({"SessionId": "NEW_SESSION"}, "stateful"),
    ],
)
def test_what_this_endpoint_does_not_do(hosted: Hosted, endpoint: str, request_of: dict[str, str], says: str) -> None:
    error = error_of(lambda: hosted.invoke(endpoint, "x", **request_of))["Error"]
    assert error["Code"] == "ValidationError"
    assert says in error["Message"]


def test_an_unknown_endpoint(hosted: Hosted) -> None:
    error = error_of(lambda: hosted.invoke("nobody"))
    assert error["Error"] == {
        "Code": "ValidationError", "Message": f"Endpoint nobody of account {hosted.cloud.account} not found."
    }  # fmt: skip


def test_sixteen_clients_at_once(hosted: Hosted) -> None:
    name = hosted.create("many", hosted.config("c", {"a": (hosted.model("one"), 1), "b": (hosted.model("two"), 1)}))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: hosted.invoke(name, str(n))["Body"].split()[2], range(320)))
    assert answers == [str(n) for n in range(320)]


def test_cloudwatch_counts_requests_and_errors(hosted: Hosted, endpoint: str) -> None:
    for _ in range(8):
        hosted.invoke(endpoint, "1")
    error_of(lambda: hosted.invoke(endpoint, "raise"))
    error_of(lambda: hosted.invoke(endpoint, "raise"))
    cloudwatch = hosted.cloud.client("cloudwatch")

    def metric(name: str, statistic: str) -> float:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "main"}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=[statistic],
        )["Datapoints"]
        return sum(point[statistic] for point in points)

    until(lambda: metric("Invocations", "Sum"), lambda total: total == 10, within=20)
    assert metric("Invocation5XXErrors", "Sum") == 2
    assert metric("Invocation4XXErrors", "Sum") == 0
    assert metric("ModelLatency", "SampleCount") == 10
    assert 0 < metric("ModelLatency", "Maximum") < 10e6
    assert 0 < metric("OverheadLatency", "Maximum") < 10e6


@pytest.mark.parametrize("options", [["InputAndOutput"], ["Input"]])
def test_captured_data(hosted: Hosted, options: list[str]) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{hosted.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": each} for each in options],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }
    config = hosted.config("c", {"a": (hosted.model("report", REPORT), 1)}, DataCaptureConfig=capture)
    name = hosted.create("captured", config)
    summary = hosted.settled(name)["DataCaptureConfig"]
    assert (summary["EnableCapture"], summary["CaptureStatus"], summary["CurrentSamplingPercentage"]) == (
        True, "Started", 100
    )  # fmt: skip
    hosted.invoke(name, "1,2,3", InferenceId="customer-7")
    hosted.invoke(name, b"\xff\x00", ContentType="image/png")
    error_of(lambda: hosted.invoke(name, "raise"))

    def lines() -> list[dict[str, Any]]:
        found = hosted.s3.list_objects_v2(Bucket=hosted.bucket, Prefix=f"captured/{name}/a/").get("Contents", [])
        keys = [each["Key"] for each in found]
        pattern = rf"captured/{name}/a/\d{{4}}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{{3}}-[0-9a-f-]{{36}}\.jsonl"
        assert all(re.fullmatch(pattern, key) for key in keys)
        bodies = [hosted.s3.get_object(Bucket=hosted.bucket, Key=key)["Body"].read() for key in sorted(keys)]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    first, second = until(lines, lambda found: len(found) == 2, within=20)
    assert first["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv", "mode": "INPUT", "data": "1,2,3", "encoding": "CSV"
    }  # fmt: skip
    assert first["eventMetadata"]["inferenceId"] == "customer-7"
    assert datetime.fromisoformat(first["eventMetadata"]["inferenceTime"]).tzinfo is not None
    assert first["eventVersion"] == "0"
    assert "inferenceId" not in second["eventMetadata"]
    given = second["captureData"]["endpointInput"]
    assert (given["encoding"], base64.b64decode(given["data"])) == ("BASE64", b"\xff\x00")
    if options == ["Input"]:
        assert "endpointOutput" not in first["captureData"]
    else:
        output = first["captureData"]["endpointOutput"]
        assert (output["mode"], output["encoding"], json.loads(output["data"])["size"]) == ("OUTPUT", "JSON", 5)


def test_no_traffic_at_all(hosted: Hosted) -> None:
    name = hosted.create("silent", hosted.config("c", {"a": (hosted.model("one"), 0)}))
    assert error_of(lambda: hosted.invoke(name))["Error"]["Code"] == "ValidationError"
    assert hosted.invoke(name, TargetVariant="a")["InvokedProductionVariant"] == "a"


def test_shares_are_weights_over_their_sum() -> None:
    weights = [("a", as_float32(8.0)), ("b", 0.0), ("c", as_float32(2.0))]
    drawn = [choose(weights) for _ in range(20_000)]
    assert drawn.count("b") == 0
    assert abs(drawn.count("a") / len(drawn) - 0.8) < 0.02
    assert choose([("a", 0.0)]) is None
    assert as_float32(0.2) == 0.20000000298023224
