"""What AWS allows: instance types and regions as botocore's models list them, names, retention periods.

The models are read as files: importing botocore costs ten times as much, and settings are read by every command.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from mlplat.settings.problems import Refusal, matching, nearest, refuse

RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""What CloudWatch Logs takes as PutRetentionPolicy's retentionInDays."""

RESERVED_FEATURES = frozenset({"is_deleted", "write_time", "api_invocation_time"})
"""Columns that the offline store adds by itself."""

NAME_LIMIT = 63
"""Characters of the name of a model, endpoint, endpoint config, model package group, job or bucket."""

TUNING_NAME_LIMIT = 32
"""Characters of a tuning job's name."""

DIGEST = len("-0123456789")
"""What the name of a run ends in: a digest of all that goes into it."""


def botocore_data() -> Path:
    """The folder of botocore's models, found without importing it."""
    spec = importlib.util.find_spec("botocore")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("botocore is not installed; it comes with boto3")
    return Path(spec.origin).parent / "data"


@cache
def instance_types(shape: str) -> tuple[str, ...]:
    """The instance types of a shape of SageMaker's model, `TrainingInstanceType` for example."""
    folder = max((botocore_data() / "sagemaker").iterdir())
    packed = folder / "service-2.json.gz"
    text = gzip.decompress(packed.read_bytes()).decode() if packed.exists() else (folder / "service-2.json").read_text()
    decoder = json.JSONDecoder()
    # Only the one shape is parsed: the whole model takes four times as long.
    for match in re.finditer(rf'"{shape}"\s*:\s*(?=\{{)', text):
        found = decoder.raw_decode(text, match.end())[0]
        if "enum" in found:
            return tuple(found["enum"])
    raise LookupError(f"botocore's model of SageMaker has no {shape}")


@cache
def regions() -> tuple[str, ...]:
    """Every region of every partition that botocore knows."""
    partitions = json.loads((botocore_data() / "partitions.json").read_text())["partitions"]
    return tuple(region for each in partitions for region in each["regions"] if not region.endswith("-global"))


def _one_of(value: str, options: tuple[str, ...], reason: str) -> str:
    if value not in options:
        raise refuse(Refusal(reason, nearest=nearest(value, options)))
    return value


def _region(value: str) -> str:
    return _one_of(value, regions(), "not a region of AWS (us-east-1, for example; a new one may need a newer boto3)")


def _training_type(value: str) -> str:
    reason = "not an instance type that SageMaker trains on (ml.m5.large, for example)"
    return _one_of(value, instance_types("TrainingInstanceType"), reason)


def _serving_type(value: str) -> str:
    reason = "not an instance type that SageMaker serves on (ml.m5.large, for example)"
    return _one_of(value, instance_types("ProductionVariantInstanceType"), reason)


def _processing_type(value: str) -> str:
    reason = "not an instance type that SageMaker runs processing jobs on (ml.m5.large, for example)"
    return _one_of(value, instance_types("ProcessingInstanceType"), reason)


def _retention(value: int) -> int:
    if value not in RETENTION_DAYS:
        allowed = ", ".join(str(days) for days in RETENTION_DAYS)
        raise refuse(Refusal(f"CloudWatch Logs keeps for {allowed} days"))
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9]([_-]*[a-zA-Z0-9])*", value):
        plain = re.sub(r"[^a-zA-Z0-9]+", "-", value).strip("-")
        reason = "a name is letters, digits, - and _, with a letter or digit at both ends"
        raise refuse(Refusal(reason, nearest=plain or None))
    return value


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", value) or value == "default":
        plain = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
        reason = "a namespace is lower-case letters, digits and single -, as bucket names are, and not default"
        raise refuse(Refusal(reason, nearest=plain if plain not in ("", value) else None))
    return value


def _tag_key(value: str) -> str:
    if value in ("Name", "ManagedBy") or value.lower().startswith(("aws:", "mlplat:")):
        raise refuse(Refusal("a tag that AWS or mlplat sets itself; choose another key"))
    return value


_TAG = "up to {} letters, digits, spaces and _ . : / = + - @, which is what every service takes"
TagKey = Annotated[str, matching(r"[\w .:/=+@-]{1,128}", _TAG.format(128)), AfterValidator(_tag_key)]
TagText = Annotated[str, matching(r"[\w .:/=+@-]{0,256}", _TAG.format(256))]
Region = Annotated[str, AfterValidator(_region)]
TrainingInstanceType = Annotated[str, AfterValidator(_training_type)]
ProcessingInstanceType = Annotated[str, AfterValidator(_processing_type)]
ServingInstanceType = Annotated[str, AfterValidator(_serving_type)]
RetentionDays = Annotated[int, AfterValidator(_retention)]
Name = Annotated[str, AfterValidator(_name)]
"""A name in the configuration that becomes part of AWS names."""
NamespaceName = Annotated[str, AfterValidator(_namespace)]
OneLine = matching(r"[^\x00-\x1f\x7f]*", "one line of text: SageMaker takes no line breaks or tabs here")
