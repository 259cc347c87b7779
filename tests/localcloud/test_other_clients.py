"""Clients that are not boto3, unmodified, with nothing but the variables of `mlplat local env`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

AWS = shutil.which("aws")

PYARROW = """
import sys
import pyarrow
from pyarrow import dataset, fs, parquet

bucket = sys.argv[1]
s3, _ = fs.FileSystem.from_uri(f"s3://{bucket}?allow_bucket_creation=true&allow_bucket_deletion=true")
s3.create_dir(bucket)
table = pyarrow.table({"id": range(1000), "day": [f"2026-01-0{1 + n % 3}" for n in range(1000)]})
parquet.write_table(table, f"{bucket}/one/table.parquet", filesystem=s3)
print(parquet.read_table(f"{bucket}/one/table.parquet", filesystem=s3).equals(table))
dataset.write_dataset(table, f"{bucket}/parts", format="parquet", partitioning=["day"], filesystem=s3)
found = dataset.dataset(f"{bucket}/parts", partitioning=["day"], filesystem=s3)
print(found.count_rows(filter=dataset.field("day") == "2026-01-02"))
with s3.open_output_stream(f"{bucket}/large ä+b") as stream:
    for number in range(11):
        stream.write(bytes([number]) * (1 << 20))
info = s3.get_file_info(f"{bucket}/large ä+b")
with s3.open_input_file(f"{bucket}/large ä+b") as file:
    file.seek(10 << 20)
    print(info.size, file.read(2))
print(sorted(each.base_name for each in s3.get_file_info(fs.FileSelector(f"{bucket}/parts"))))
s3.move(f"{bucket}/one/table.parquet", f"{bucket}/two.parquet")
s3.delete_dir(bucket)
print(s3.get_file_info(bucket).type.name)
"""


def environment(cloud: Any, folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_PAGER": "", **cloud.environment}


def test_pyarrow(cloud: Any, tmp_path: Path) -> None:
    """Its own C++ client: single and multipart uploads, ranges, listings, copies.

    A file system made of a URI reads AWS_ENDPOINT_URL; `S3FileSystem()` wants its `endpoint_override`.
    """
    done = subprocess.run(
        [sys.executable, "-c", PYARROW, f"arrow-{uuid.uuid4().hex[:8]}"],
        env=environment(cloud, tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "True",
        "333",
        f"{11 << 20} b'\\n\\n'",
        "['2026-01-01', '2026-01-02', '2026-01-03']",
        "NotFound",
    ]


@pytest.mark.skipif(AWS is None, reason="no AWS CLI on PATH (it is no dependency: 130 MB)")
def test_aws_cli(cloud: Any, tmp_path: Path) -> None:
    bucket, group = f"cli-{uuid.uuid4().hex[:8]}", f"cli-{uuid.uuid4().hex[:8]}"

    def aws(*words: str, code: int = 0) -> str:
        command, where = [str(AWS), *words], environment(cloud, tmp_path)
        done = subprocess.run(command, env=where, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert json.loads(aws("sts", "get-caller-identity"))["Account"] == cloud.account
    aws("s3", "mb", f"s3://{bucket}")
    (tmp_path / "many").mkdir()
    for name in ("a", "b c", "ä"):
        (tmp_path / "many" / name).write_text(name)
    (tmp_path / "large").write_bytes(os.urandom(9 << 20))
    aws("s3", "sync", "many", f"s3://{bucket}/many")
    aws("s3", "cp", "large", f"s3://{bucket}/large")
    aws("s3", "cp", f"s3://{bucket}/large", "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
    assert [line.split(maxsplit=3)[3] for line in aws("s3", "ls", f"s3://{bucket}/many/").splitlines()] == [
        "a", "b c", "ä",
    ]  # fmt: skip
    url = aws("s3", "presign", f"s3://{bucket}/many/a").strip()
    assert "X-Amz-Signature=" in url or "Signature=" in url
    definitions = [{"FeatureName": name, "FeatureType": "String"} for name in ("id", "at")]
    aws(
        "sagemaker", "create-feature-group", "--feature-group-name", group, "--record-identifier-feature-name", "id",
        "--event-time-feature-name", "at", "--feature-definitions", json.dumps(definitions),
        "--online-store-config", "EnableOnlineStore=true",
    )  # fmt: skip
    record = [
        {"FeatureName": "id", "ValueAsString": "7"},
        {"FeatureName": "at", "ValueAsString": "2026-01-01T00:00:00Z"},
    ]
    runtime = ("sagemaker-featurestore-runtime",)
    aws(*runtime, "put-record", "--feature-group-name", group, "--record", json.dumps(record))
    asked = ("get-record", "--feature-group-name", group, "--record-identifier-value-as-string", "7")
    assert json.loads(aws(*runtime, *asked))["Record"] == record
    said = aws("sagemaker", "describe-model", "--model-name", "absent", code=254 if _is_two() else 255)
    assert "An error occurred (ValidationException) when calling the DescribeModel operation: Could not find" in said
    aws("sagemaker", "delete-feature-group", "--feature-group-name", group)
    aws("s3", "rb", "--force", f"s3://{bucket}")


def _is_two() -> bool:
    """Exit codes of service errors: 254, where older versions have 255."""
    return "aws-cli/2" in subprocess.run([str(AWS), "--version"], capture_output=True, text=True, check=False).stdout
