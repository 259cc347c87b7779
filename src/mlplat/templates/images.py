"""AWS's framework images by short names: `scikit-learn:1.2-1` and a region give the URI in ECR.

`images.json` holds registries, repositories and tags; `tests/templates/test_images.py` makes it from the SageMaker
SDK's own tables and fails when they differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from mlplat.errors import SettingsError

Scope = Literal["training", "inference", "processing"]
"""What runs in the image. Processing jobs take the training image."""

HOSTS = {
    "cn": "amazonaws.com.cn",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "us-isof": "csp.hci.ic.gov",
    "eu-isoe": "cloud.adc-e.uk",
    "eusc": "amazonaws.eu",
}
"""Where ECR lives outside the commercial regions, by the region's first part (botocore's endpoints)."""

ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<repository>[^:@]+)")

ACCELERATED = re.compile(r"ml\.(p|g)\d")
"""Instance types with GPUs; the frameworks have an image for these and one for the others."""


def image_uri(image: str, region: str, scope: Scope, instance_type: str = "") -> str:
    """The URI of `image`, which is `<framework>:<version>` of AWS's or already a URI.

    Raises SettingsError, naming the nearest, for a framework, version or region that AWS has no image for.
    """
    if "/" in image:
        return image
    name, _, version = image.partition(":")
    found = _version(image, name, version, "inference" if scope == "inference" else "training")
    accounts = _tables()["registries"][found["registries"]]
    if region not in accounts:
        raise _unknown(f"finding image {image}: AWS does not have it in the region", region, accounts)
    tag = found["gpu"] if "gpu" in found and ACCELERATED.match(instance_type) else found.get("cpu", found.get("gpu"))
    return f"{accounts[region]}.dkr.ecr.{region}.{_host(region)}/{found['repository']}:{tag}"


def registries(region: str) -> list[str]:
    """The accounts in which AWS keeps the images of all these frameworks for a region."""
    return sorted({accounts[region] for accounts in _tables()["registries"].values() if region in accounts})


def repository_arn(uri: str, partition: str) -> str | None:
    """The ARN of the ECR repository that a URI points into, or None for another kind of registry."""
    match = ECR.match(uri)
    return (
        f"arn:{partition}:ecr:{match['region']}:{match['account']}:repository/{match['repository']}" if match else None
    )


def _version(image: str, name: str, version: str, scope: str) -> Mapping[str, str]:
    frameworks = _tables()["images"]
    if name not in frameworks:
        raise _unknown(f"finding image {image}: no AWS framework is called", name, frameworks)
    known: Mapping[str, Any] = frameworks[name][scope]
    version = known["aliases"].get(version, version)
    if version not in known["versions"]:
        raise _unknown(f"finding image {image}: {name} has no {scope} image of version", version, known["versions"])
    found: Mapping[str, str] = known["versions"][version]
    return found


def _unknown(what: str, value: str, known: Iterable[str]) -> SettingsError:
    choices = list(known)
    longer = [each for each in choices if value and each.startswith(value)]
    near = longer or get_close_matches(value, choices, n=1, cutoff=0.0)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return SettingsError(f"{what} {value!r}; {meant}there is {', '.join(choices)}", hint="mlplat config show")


def _host(region: str) -> str:
    return HOSTS.get(region.rsplit("-", 2)[0]) or HOSTS.get(region.split("-", 1)[0], "amazonaws.com")


@cache
def _tables() -> Mapping[str, Any]:
    text = files("mlplat.templates").joinpath("images.json").read_text(encoding="utf-8")
    tables: Mapping[str, Any] = json.loads(text)
    return tables
