"""A REST API in front of an endpoint: what its callers get, and what it takes to be let in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from tests.localcloud.hosted import Hosted, host

MODEL = """
import json, os

def model_fn(path):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(body, model):
    if body == "fail":
        raise ValueError("no such row")
    return body

def output_fn(body, accept):
    return json.dumps({"sum": sum(map(float, body.split(",")))}), "application/json"
"""
RUNTIME = "arn:aws:apigateway:us-east-1:runtime.sagemaker:path/endpoints/{}/invocations"


class Api:
    """A REST API with `POST /score/{endpoint}` in front of SageMaker's endpoints."""

    def __init__(self, cloud: Any) -> None:
        self.cloud, self.client, self.iam = cloud, cloud.client("apigateway"), cloud.client("iam")
        self.hosted = Hosted(cloud)
        self.http = urllib3.PoolManager()
        self.id = self.client.create_rest_api(name=f"api-{self.hosted.mark}")["id"]
        root = self.client.get_resources(restApiId=self.id)["items"][0]["id"]
        score = self.client.create_resource(restApiId=self.id, parentId=root, pathPart="score")["id"]
        one = self.client.create_resource(restApiId=self.id, parentId=score, pathPart="{endpoint}")["id"]
        self.place = {"restApiId": self.id, "resourceId": one, "httpMethod": "POST"}
        self.role = self.make_role()

    def make_role(self) -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        name = f"api-{self.hosted.mark}"
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.allow("sagemaker:InvokeEndpoint")
        return str(arn)

    def allow(self, action: str) -> None:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_role_policy(RoleName=f"api-{self.hosted.mark}", PolicyName="own", PolicyDocument=document)

    def method(self, *, key: bool = False, authorization: str = "NONE", **integration: Any) -> None:
        parameters = {"method.request.path.endpoint": True, "method.request.header.X-Variant": False}
        self.client.put_method(
            **self.place, authorizationType=authorization, apiKeyRequired=key, requestParameters=parameters
        )
        asked = {
            "type": "AWS", "integrationHttpMethod": "POST", "uri": RUNTIME.format("{name}"), "credentials": self.role,
            "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": 29000,
            "requestParameters": {
                "integration.request.path.name": "method.request.path.endpoint",
                "integration.request.header.X-Amzn-SageMaker-Target-Variant": "method.request.header.X-Variant",
            },
        }  # fmt: skip
        self.client.put_integration(**self.place, **{**asked, **integration})
        for status, pattern in (("200", None), ("502", "424"), ("400", "4(?!24)\\d\\d")):
            self.client.put_method_response(
                **self.place, statusCode=status,
                responseParameters={"method.response.header.X-Variant": False},
            )  # fmt: skip
            chosen = {"selectionPattern": pattern} if pattern else {}
            self.client.put_integration_response(
                **self.place, statusCode=status, **chosen,
                responseParameters={
                    "method.response.header.X-Variant": "integration.response.header.x-Amzn-Invoked-Production-Variant"
                },
            )  # fmt: skip

    def deploy(self, stage: str = "prod") -> None:
        self.client.create_deployment(restApiId=self.id, stageName=stage)

    def url(self, path: str, stage: str = "prod") -> str:
        return f"{self.cloud.url}/restapis/{self.id}/{stage}/_user_request_{path}"

    def call(self, path: str, body: str = "1,2", **headers: str) -> tuple[int, Any, Any]:
        sent = {"Content-Type": "text/csv", **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = self.http.request("POST", self.url(path), body=body, headers=sent)
        return answer.status, json.loads(answer.data), answer.headers


@pytest.fixture(scope="module")
def endpoint(cloud: Any) -> Iterator[str]:
    for hosted in host(cloud):
        yield hosted.create("scored", hosted.config("scored", {"only": (hosted.model("sum", MODEL), 1.0)}))


@pytest.fixture
def api(cloud: Any) -> Api:
    return Api(cloud)


def test_a_call_reaches_the_endpoint_and_its_answer_comes_back_mapped(api: Api, endpoint: str) -> None:
    api.method()
    api.deploy()
    status, body, headers = api.call(f"/score/{endpoint}")
    assert (status, body) == (200, {"sum": 3.0})
    assert headers["X-Variant"] == "only" and headers["Content-Type"] == "application/json"
    status, body, _ = api.call(f"/score/{endpoint}", "fail")
    assert status == 502 and "no such row" in body["OriginalMessage"] + body["Message"]
    status, body, _ = api.call("/score/none")
    assert status == 400 and "not found" in body["Message"]
    status, body, _ = api.call(f"/score/{endpoint}", X_Variant="another")
    assert status == 400 and "Variant another not found" in body["Message"]
    by_host = {"Host": f"{api.id}.execute-api.localhost", "Content-Type": "text/csv"}
    answer = api.http.request("POST", f"{api.cloud.url}/prod/score/{endpoint}", body="4,5", headers=by_host)
    assert json.loads(answer.data) == {"sum": 9.0}


def test_what_is_not_deployed_does_not_answer(api: Api, endpoint: str) -> None:
    missing = (403, {"message": "Missing Authentication Token"})
    api.method()
    assert api.call(f"/score/{endpoint}")[:2] == (403, {"message": "Forbidden"}), "there is no stage yet"
    api.deploy()
    assert api.call("/nowhere")[:2] == missing
    api.client.delete_method(**api.place)
    assert api.call(f"/score/{endpoint}")[0] == 200, "a deployment stays as it is"
    other = {**api.place, "httpMethod": "GET"}
    api.client.put_method(**other, authorizationType="NONE")
    api.client.put_integration(**other, type="MOCK")
    api.deploy()
    assert api.call(f"/score/{endpoint}")[:2] == missing


def test_keys_and_plans(api: Api, endpoint: str) -> None:
    api.method(key=True)
    api.deploy()
    forbidden = (403, {"message": "Forbidden"})
    assert api.call(f"/score/{endpoint}")[:2] == forbidden
    key = api.client.create_api_key(name=f"key-{api.id}", enabled=True)
    assert api.call(f"/score/{endpoint}", X_Api_Key=key["value"])[:2] == forbidden, "a key without a plan"
    plan = api.client.create_usage_plan(
        name="two", apiStages=[{"apiId": api.id, "stage": "prod"}], quota={"limit": 2, "period": "DAY"}
    )
    api.client.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    for _ in range(2):
        assert api.call(f"/score/{endpoint}", X_Api_Key=key["value"])[0] == 200
    assert api.call(f"/score/{endpoint}", X_Api_Key=key["value"])[:2] == (429, {"message": "Limit Exceeded"})
    slow = [{"op": "replace", "path": "/*/*/throttling/burstLimit", "value": "1"},
            {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "0.001"}]  # fmt: skip
    api.client.delete_method(**api.place)
    api.method()
    api.deploy()
    api.client.update_stage(restApiId=api.id, stageName="prod", patchOperations=slow)
    assert api.call(f"/score/{endpoint}")[0] == 200
    assert api.call(f"/score/{endpoint}")[:2] == (429, {"message": "Too Many Requests"})


def test_the_role_must_let_the_gateway_in_and_allow_the_call(api: Api, endpoint: str) -> None:
    api.method()
    api.deploy()
    api.allow("sagemaker:DescribeEndpoint")
    status, body, _ = api.call(f"/score/{endpoint}")
    assert status == 400 and "is not authorized to perform: sagemaker:InvokeEndpoint" in body["Message"]
    statement = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    api.iam.update_assume_role_policy(
        RoleName=f"api-{api.hosted.mark}",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    assert api.call(f"/score/{endpoint}")[:2] == (500, {"message": "Internal server error"})


def test_signed_requests(api: Api, endpoint: str) -> None:
    api.method(authorization="AWS_IAM")
    api.deploy()
    assert api.call(f"/score/{endpoint}")[0] == 403
    address = api.cloud.address
    for secret, status in ((address.secret_key, 200), ("x" * 40, 403)):
        signed = AWSRequest("POST", api.url(f"/score/{endpoint}"), {"Content-Type": "text/csv"}, b"1,2")
        SigV4Auth(Credentials(address.access_key, secret), "execute-api", "us-east-1").add_auth(signed)
        answer = api.http.request("POST", signed.url, body=b"1,2", headers=dict(signed.headers.items()))
        assert answer.status == status, answer.data


def test_what_the_local_cloud_does_not_run_says_so(api: Api, endpoint: str) -> None:
    api.method(type="HTTP", uri="http://127.0.0.1:9/")
    api.deploy()
    status, body, _ = api.call(f"/score/{endpoint}")
    assert status == 501 and body == {"message": "The local cloud runs no integrations of type HTTP"}
    api.client.delete_method(**api.place)
    api.method(requestTemplates={"text/csv": "$util.escapeJavaScript($input.body)"})
    api.deploy()
    assert api.call(f"/score/{endpoint}")[0] == 500
    with pytest.raises(ClientError, match="Active stages pointing to this deployment"):
        deployment = api.client.get_stage(restApiId=api.id, stageName="prod")["deploymentId"]
        api.client.delete_deployment(restApiId=api.id, deploymentId=deployment)
