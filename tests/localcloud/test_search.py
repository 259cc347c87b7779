"""Search: expressions over what SageMaker holds here, and what AWS refuses in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.jobs import IMAGE, Jobs, until


@pytest.fixture(scope="module")
def jobs(cloud: Any) -> Jobs:
    return Jobs(cloud)


@pytest.fixture(scope="module")
def mark(jobs: Jobs) -> str:
    """Two training jobs, three models and a feature group, told from others by a tag."""
    mark = jobs.name("mark")
    tags = [{"Key": "mark", "Value": mark}]
    metrics = [{"Name": "auc", "Regex": "auc=([0-9.]+)"}]
    algorithm = {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": metrics}
    for auc, rate in (("0.7", "0.05"), ("0.9", "0.5")):
        request = jobs.request(
            f"print('auc={auc}')", Tags=tags, AlgorithmSpecification=algorithm, HyperParameters={"rate": rate}
        )
        jobs.sagemaker.create_training_job(**request)
        jobs.wait(request["TrainingJobName"])
    for name in "abc":
        container = {"Image": IMAGE, "Environment": {"LEVEL": name}}
        jobs.sagemaker.create_model(
            ModelName=f"{mark}-{name}", ExecutionRoleArn=jobs.role, PrimaryContainer=container, Tags=tags
        )
    jobs.sagemaker.create_feature_group(
        FeatureGroupName=mark, RecordIdentifierFeatureName="id", EventTimeFeatureName="at", Tags=tags,
        FeatureDefinitions=[{"FeatureName": each, "FeatureType": "String"} for each in ("id", "at", "plan")],
        OnlineStoreConfig={"EnableOnlineStore": True},
    )  # fmt: skip
    until(
        lambda: jobs.sagemaker.describe_feature_group(FeatureGroupName=mark)["FeatureGroupStatus"],
        lambda status: status == "Created",
    )
    return mark


def where(name: str, operator: str = "Equals", value: str | None = None) -> dict[str, str]:
    return {"Name": name, "Operator": operator, **({} if value is None else {"Value": value})}


def found(jobs: Jobs, mark: str, *filters: dict[str, str], **expression: Any) -> list[dict[str, Any]]:
    """The marked training jobs that meet the filters."""
    wanted = {"Filters": [where("Tags.mark", value=mark), *filters], **expression}
    answer = jobs.sagemaker.search(Resource="TrainingJob", SearchExpression=wanted)
    assert answer["TotalHits"] == {"Value": len(answer["Results"]), "Relation": "EqualTo"}
    return [each["TrainingJob"] for each in answer["Results"]]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (where("TrainingJobStatus", value="Completed"), 2),
        (where("TrainingJobStatus", "NotEquals", "Completed"), 0),
        (where("TrainingJobStatus", "In", "Failed,Completed"), 2),
        (where("Metrics.auc", "GreaterThan", "0.8"), 1),
        (where("HyperParameters.rate", "LessThan", "0.1"), 1),
        (where("HyperParameters.rate", "Equals", "0"), 2),
        (where("HyperParameters.none", "Exists"), 0),
        (where("FailureReason", "NotExists"), 2),
        (where("AlgorithmSpecification.TrainingImage", "Contains", "scikit-learn"), 2),
        (where("ResourceConfig.InstanceCount", "GreaterThanOrEqualTo", "2"), 0),
        (where("CreationTime", "GreaterThan", (datetime.now(UTC) + timedelta(days=1)).isoformat()[:19]), 0),
        (where("EnableManagedSpotTraining", value="false"), 2),
    ],
)
def test_filters(jobs: Jobs, mark: str, condition: dict[str, str], count: int) -> None:
    assert len(found(jobs, mark, condition)) == count


def test_expressions_within_expressions(jobs: Jobs, mark: str) -> None:
    good, bad = where("Metrics.auc", "GreaterThan", "0.8"), where("Metrics.auc", "LessThan", "0.8")
    assert found(jobs, mark, good, bad) == []
    assert len(found(jobs, mark, SubExpressions=[{"Filters": [good, bad], "Operator": "Or"}])) == 2
    both = [
        {
            "NestedPropertyName": "FinalMetricDataList",
            "Filters": [
                where("FinalMetricDataList.MetricName", value="auc"),
                where("FinalMetricDataList.Value", "GreaterThan", "0.8"),
            ],
        }
    ]
    (job,) = found(jobs, mark, NestedFilters=both)
    assert job["HyperParameters"]["rate"] == "0.5" and {"Key": "mark", "Value": mark} in job["Tags"]


def test_order_and_pages(jobs: Jobs, mark: str) -> None:
    wanted = {"Filters": [where("Model.Tags.Value", value=mark)]}
    asked = {"Resource": "Model", "SearchExpression": wanted, "SortBy": "Model.ModelName", "SortOrder": "Ascending"}
    first = jobs.sagemaker.search(**asked, MaxResults=2)
    rest = jobs.sagemaker.search(**asked, MaxResults=2, NextToken=first["NextToken"])
    names = [each["Model"]["Model"]["ModelName"] for page in (first, rest) for each in page["Results"]]
    assert names == [f"{mark}-{each}" for each in "abc"]
    assert first["TotalHits"]["Value"] == 3 and "NextToken" not in rest


def test_features_are_found_by_what_is_written_about_them(jobs: Jobs, mark: str) -> None:
    sagemaker, feature = jobs.sagemaker, {"FeatureGroupName": mark, "FeatureName": "plan"}
    sagemaker.update_feature_metadata(
        **feature, Description="what was bought", ParameterAdditions=[{"Key": "pii", "Value": "no"}]
    )
    described = sagemaker.describe_feature_metadata(**feature)
    assert described["Parameters"] == [{"Key": "pii", "Value": "no"}] and described["FeatureType"] == "String"
    group = where("FeatureGroupName", value=mark)
    for filters, names in (
        ([group], {"id", "at", "plan"}),
        ([group, where("Description", "Contains", "bought")], {"plan"}),
        ([group, where("Parameters.Key", value="pii"), where("Parameters.Value", value="no")], {"plan"}),
    ):
        answer = sagemaker.search(Resource="FeatureMetadata", SearchExpression={"Filters": filters})
        assert {each["FeatureMetadata"]["FeatureName"] for each in answer["Results"]} == names
    sagemaker.update_feature_metadata(**feature, ParameterRemovals=["pii"])
    assert sagemaker.describe_feature_metadata(**feature)["Parameters"] == []
    answer = sagemaker.search(Resource="FeatureGroup", SearchExpression={"Filters": [where("Tags.mark", value=mark)]})
    assert [each["FeatureGroup"]["FeatureGroupName"] for each in answer["Results"]] == [mark]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        sagemaker.describe_feature_metadata(FeatureGroupName=mark, FeatureName="none")


@pytest.mark.parametrize(
    ("resource", "expression", "says"),
    [
        ("TrainingJob", {"Filters": [where("Colour", value="red")]}, "Unknown property name: Colour"),
        ("TrainingJob", {"Operator": "And"}, "at least one subexpression, filter, or nested filter"),
        ("TrainingJob", {"Filters": [where("TrainingJobName", "GreaterThan", "a")]}, "not supported for the text"),
        ("TrainingJob", {"Filters": [where("BillableTimeInSeconds", value="long")]}, "is not a number"),
        ("TrainingJob", {"Filters": [where("CreationTime", "LessThan", "now")]}, "is not a time"),
        ("TrainingJob", {"Filters": [where("CreationTime", "Contains", "2026")]}, "only for text"),
        ("TrainingJob", {"Filters": [where("TrainingJobName", "Exists", "a")]}, "must have no Value"),
        ("TrainingJob", {"Filters": [where("TrainingJobName")]}, "must have a Value"),
        ("FeatureGroup", {"Filters": [where("Metrics.auc", value="1")]}, "Unknown property name: Metrics.auc"),
        (
            "TrainingJob",
            {"Filters": [where("TrainingJobName", "Contains", each) for each in "ab"]},
            "'CONTAINS' operator usage limit of 1 exceeded",
        ),
        ("HubContent", {"Filters": [where("HubContentName", "Exists")]}, "keeps nothing of the type HubContent"),
    ],
)
def test_what_cannot_be_searched(jobs: Jobs, resource: str, expression: dict[str, Any], says: str) -> None:
    code, text = jobs.refused("search", Resource=resource, SearchExpression=expression)
    assert code == "ValidationException" and says in text
