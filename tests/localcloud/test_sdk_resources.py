"""The SageMaker SDK v3's resource classes, unmodified, with nothing but the variables of `mlplat local env`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.localcloud.hosted import IMAGE, Hosted, host

ENDPOINT = f"""
import sys
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

url, role, name = sys.argv[1:]
container = ContainerDefinition(image="{IMAGE}", model_data_url=url)
model = Model.create(model_name=name, primary_container=container, execution_role_arn=role)
variant = ProductionVariant(
    variant_name="all", model_name=model, initial_instance_count=1, instance_type="ml.m5.large",
    initial_variant_weight=1.0,
)
config = EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=config)
endpoint.wait_for_status("InService", poll=1, timeout=120)
answer = endpoint.invoke(body="1,2", content_type="text/csv", accept="text/csv")
print("said", answer.body.read().decode(), answer.invoked_production_variant)
print("said", [each.endpoint_name for each in Endpoint.get_all(name_contains=name)])
endpoint.delete()
endpoint.wait_for_delete(poll=1, timeout=60)
config.delete()
model.delete()
try:
    Model.get(name)
except Exception as error:
    print("said", type(error).__name__, "Could not find" in str(error))
"""

FEATURES = """
import sys
import pandas
from sagemaker.core.resources import FeatureGroup
from sagemaker.core.shapes import FeatureDefinition, FeatureValue
from sagemaker.core.shapes import OfflineStoreConfig, OnlineStoreConfig, S3StorageConfig
from sagemaker.mlops.feature_store import ingest_dataframe

bucket, role, name = sys.argv[1:]
kinds = {"id": "String", "at": "String", "score": "Fractional"}
group = FeatureGroup.create(
    feature_group_name=name, record_identifier_feature_name="id", event_time_feature_name="at", role_arn=role,
    feature_definitions=[FeatureDefinition(feature_name=f, feature_type=kind) for f, kind in kinds.items()],
    online_store_config=OnlineStoreConfig(enable_online_store=True),
    offline_store_config=OfflineStoreConfig(s3_storage_config=S3StorageConfig(s3_uri=f"s3://{bucket}/offline")),
)
group.wait_for_status("Created", poll=1, timeout=60)
values = {"id": "one", "at": "2026-01-01T00:00:00Z", "score": "0.5"}
group.put_record(record=[FeatureValue(feature_name=f, value_as_string=value) for f, value in values.items()])
print("said", [each.value_as_string for each in group.get_record(record_identifier_value_as_string="one").record])
rows = pandas.DataFrame({"id": ["a", "b"], "at": ["2026-01-02T00:00:00Z"] * 2, "score": [1.5, 2.5]})
rows = rows.astype({"id": "string", "at": "string"})
ingest_dataframe(feature_group_name=name, data_frame=rows, max_workers=2, wait=True)
print("said", [each.value_as_string for each in group.get_record(record_identifier_value_as_string="b").record])
group.delete_record(record_identifier_value_as_string="one", event_time="2026-01-03T00:00:00Z")
print("said", type(group.get_record(record_identifier_value_as_string="one").record).__name__)
group.delete()
group.wait_for_delete(poll=1, timeout=60)
print("said", "gone")
"""

DATASET = """
import sys, time
import boto3, pandas
from sagemaker.core.helper.session_helper import Session
from sagemaker.mlops.feature_store import (
    DatasetBuilder, FeatureGroupManager, FeatureMetadata, FeatureParameter, OfflineStoreConfig, OnlineStoreConfig,
    S3StorageConfig, ingest_dataframe, load_feature_definitions_from_dataframe,
)

bucket, role, name = sys.argv[1:]
days = [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
rows = pandas.DataFrame({"id": ["a", "b", "a"], "at": days, "score": [1.5, 2, 3]})
rows = rows.astype({"id": "string", "at": "string"})
group = FeatureGroupManager.create(
    feature_group_name=name, record_identifier_feature_name="id", event_time_feature_name="at", role_arn=role,
    feature_definitions=load_feature_definitions_from_dataframe(rows),
    online_store_config=OnlineStoreConfig(enable_online_store=True),
    offline_store_config=OfflineStoreConfig(s3_storage_config=S3StorageConfig(s3_uri=f"s3://{bucket}/offline")),
)
group.wait_for_status("Created", poll=1, timeout=60)
ingest_dataframe(feature_group_name=name, data_frame=rows, max_workers=1, wait=True)
metadata = FeatureMetadata.get(feature_group_name=name, feature_name="score")
metadata.update(description="how good", parameter_additions=[FeatureParameter(key="unit", value="points")])
print("said", metadata.refresh().description, [(each.key, each.value) for each in metadata.parameters])
s3 = boto3.client("s3")
while not s3.list_objects_v2(Bucket=bucket, Prefix="offline/").get("KeyCount"):
    time.sleep(0.5)
group = group.refresh()
newest = DatasetBuilder.create(group, f"s3://{bucket}/out", Session())
newest = newest.with_number_of_recent_records_by_record_identifier(1)
for built in (DatasetBuilder.create(group, f"s3://{bucket}/out", Session()), newest):
    frame, query = built.to_dataframe()
    print("said", sorted(zip(frame["id"], frame["score"])))
"""


@pytest.fixture
def hosted(cloud: Any) -> Iterator[Hosted]:
    """A place for models."""
    yield from host(cloud)


def run(hosted: Hosted, folder: Path, program: str, *words: str) -> list[str]:
    """What the program prints, run as a user's own with a clean environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **hosted.cloud.environment}
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.partition("said ")[2] for line in done.stdout.splitlines() if "said " in line]  # beside its panels


@pytest.mark.e2e
def test_model_config_and_endpoint(hosted: Hosted, tmp_path: Path) -> None:
    code = {"code/inference.py": "def model_fn(d): return 1\ndef transform_fn(m, b, c, a): return f'{b} as {c} to {a}'"}
    name = f"sdk-{hosted.mark}"
    said = run(hosted, tmp_path, ENDPOINT, hosted.upload("sdk/model.tar.gz", {**code}), hosted.role, name)
    assert said == ["1,2 as text/csv to text/csv all", f"['{name}']", "ClientError True"]


@pytest.mark.e2e
def test_feature_group(hosted: Hosted, tmp_path: Path) -> None:
    said = run(hosted, tmp_path, FEATURES, hosted.bucket, hosted.role, f"sdk-{hosted.mark}")
    assert said == [
        "['one', '2026-01-01T00:00:00Z', '0.5']",
        "['b', '2026-01-02T00:00:00Z', '2.5']",
        "Unassigned",
        "gone",
    ]


@pytest.mark.e2e
def test_metadata_and_a_dataset(hosted: Hosted, tmp_path: Path) -> None:
    said = run(hosted, tmp_path, DATASET, hosted.bucket, hosted.role, f"sdk-{hosted.mark}")
    assert said == [
        "how good [('unit', 'points')]",
        "[('a', 1.5), ('a', 3.0), ('b', 2.0)]",
        "[('a', 3.0), ('b', 2.0)]",
    ]
