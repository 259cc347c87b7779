"""Service Quotas: real names, values that a request raises, and what is refused beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.hosted import Hosted, host, until
from tests.localcloud.jobs import Jobs

M5 = "ml.m5.large for endpoint usage"


@pytest.fixture
def hosted(cloud: Any) -> Iterator[Hosted]:
    yield from host(cloud)


def refused(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def listed(quotas: Any, operation: str = "list_service_quotas", **asked: Any) -> dict[str, dict[str, Any]]:
    pages = quotas.get_paginator(operation).paginate(ServiceCode="sagemaker", **asked)
    return {each["QuotaName"]: each for page in pages for each in page["Quotas"]}


def test_every_instance_type_has_its_quotas(cloud: Any) -> None:
    quotas = cloud.client("service-quotas")
    found = listed(quotas)
    assert len(found) > 1000
    assert {f"ml.m5.xlarge for {use} usage" for use in ("training job", "spot training job", "endpoint")} < set(found)
    assert len({each["QuotaCode"] for each in found.values()}) == len(found)
    gpu = found["ml.g5.xlarge for endpoint usage"]
    assert gpu["QuotaCode"] == "L-1928E07B"
    assert gpu["QuotaArn"] == f"arn:aws:servicequotas:us-east-1:{cloud.account}:sagemaker/L-1928E07B"
    one = {"ServiceCode": "sagemaker", "QuotaCode": gpu["QuotaCode"]}
    assert quotas.get_service_quota(**one)["Quota"] == gpu
    default = quotas.get_aws_default_service_quota(**one)["Quota"]
    assert default["QuotaArn"] == "arn:aws:servicequotas:us-east-1::sagemaker/L-1928E07B"
    assert listed(quotas, "list_aws_default_service_quotas")[gpu["QuotaName"]] == default
    assert listed(quotas, QuotaCode="L-1928E07B") == {gpu["QuotaName"]: gpu}
    assert len(quotas.list_service_quotas(ServiceCode="sagemaker", MaxResults=7)["Quotas"]) == 7
    assert {each["ServiceCode"] for each in quotas.list_services()["Services"]} == {"sagemaker", "vpc"}


def test_what_is_not_there_is_not_found(cloud: Any) -> None:
    quotas = cloud.client("service-quotas")
    code = refused(quotas.list_service_quotas, ServiceCode="nothing")[0]
    assert code == "NoSuchResourceException"
    code, text = refused(quotas.get_service_quota, ServiceCode="sagemaker", QuotaCode="L-00000000")
    assert code == "NoSuchResourceException" and "quota" in text
    code = refused(quotas.list_service_quotas, ServiceCode="sagemaker", NextToken="bogus")[0]
    assert code == "InvalidPaginationTokenException"


def test_a_request_raises_a_quota_and_counts(cloud: Any, hosted: Hosted) -> None:
    quotas, model = cloud.client("service-quotas"), hosted.model("counted")
    quota = listed(quotas)[M5]
    variant = {"VariantName": "all", "ModelName": model, "InitialInstanceCount": 21, "InstanceType": "ml.m5.large"}
    hosted.sagemaker.create_endpoint_config(EndpointConfigName=model, ProductionVariants=[variant])
    asked = {"EndpointName": model, "EndpointConfigName": model}
    code, text = refused(hosted.sagemaker.create_endpoint, **asked)
    assert code == "ResourceLimitExceeded"
    assert text.startswith(f"The account-level service limit '{M5}' is 20 Instances, with current utilization of ")
    assert "a request delta of 21 Instances. Please use AWS Service Quotas to request an increase" in text
    one = {"ServiceCode": "sagemaker", "QuotaCode": quota["QuotaCode"]}
    assert refused(quotas.request_service_quota_increase, **one, DesiredValue=20.0)[0] == "IllegalArgumentException"
    made = quotas.request_service_quota_increase(**one, DesiredValue=60.0)["RequestedQuota"]
    assert (made["Status"], made["QuotaName"], made["DesiredValue"]) == ("PENDING", M5, 60.0)
    until(
        lambda: quotas.get_requested_service_quota_change(RequestId=made["Id"])["RequestedQuota"]["Status"],
        lambda status: status == "APPROVED",
    )
    history = quotas.list_requested_service_quota_change_history_by_quota(**one)["RequestedQuotas"]
    assert [each["Id"] for each in history] == [made["Id"]]
    assert quotas.get_service_quota(**one)["Quota"]["Value"] == 60.0
    assert quotas.get_aws_default_service_quota(**one)["Quota"]["Value"] == 20.0
    hosted.sagemaker.create_endpoint(**asked)
    assert hosted.settled(model)["EndpointStatus"] == "InService"
    more = [{"VariantName": "all", "DesiredInstanceCount": 61}]
    update = hosted.sagemaker.update_endpoint_weights_and_capacities
    code, text = refused(update, EndpointName=model, DesiredWeightsAndCapacities=more)
    assert code == "ResourceLimitExceeded" and "a request delta of 40 Instances" in text
    hosted.delete(model)


def test_jobs_count_and_spot_has_a_quota_of_its_own(cloud: Any) -> None:
    jobs = Jobs(cloud)
    many = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 21, "VolumeSizeInGB": 1}
    code, text = jobs.refused("create_training_job", **jobs.request("", ResourceConfig=many))
    assert code == "ResourceLimitExceeded" and "'ml.c5.xlarge for training job usage' is 20 Instances" in text
    spot = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}
    request = jobs.request("", ResourceConfig=many, EnableManagedSpotTraining=True, StoppingCondition=spot)
    text = jobs.refused("create_training_job", **request)[1]
    assert "'ml.c5.xlarge for spot training job usage'" in text
