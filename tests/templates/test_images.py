"""images.json is what the SageMaker SDK says, and image names resolve as the SDK resolves them.

After an upgrade of the SDK: `MLPLAT_WRITE_IMAGES=1 pytest tests/templates/test_images.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import mlplat.templates.images as images
from mlplat.errors import SettingsError
from mlplat.templates.images import image_uri, registries, repository_arn

FRAMEWORKS = {
    "scikit-learn": "sklearn",
    "xgboost": "xgboost",
    "pytorch": "pytorch",
    "tensorflow": "tensorflow",
    "huggingface": "huggingface",
}
INSTANCES = {"cpu": "ml.m5.large", "gpu": "ml.g4dn.xlarge"}
FILE = Path(images.__file__).with_name("images.json")


@cache
def generated() -> dict[str, Any]:
    """The tables as the SDK has them now; registries that several images share stand there once."""
    tables: dict[str, Any] = {"registries": {}, "images": {}}
    for name, framework in FRAMEWORKS.items():
        config = sdk_config(framework)
        tables["images"][name] = {
            scope: scope_of(framework, scope, config.get(scope, config), tables["registries"])
            for scope in ("training", "inference")
        }
    return tables


def sdk_config(framework: str) -> dict[str, Any]:
    from sagemaker.core import image_uris

    folder = Path(image_uris.__file__).with_name("image_uri_config")
    config: dict[str, Any] = json.loads((folder / f"{framework}.json").read_text())
    return config


def scope_of(framework: str, scope: str, config: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    aliases = {alias: version for alias, version in config.get("version_aliases", {}).items() if alias != "latest"}
    versions: dict[str, Any] = {}
    for version, entry in config["versions"].items():
        for base, details in bases_of(framework, entry).items():
            pythons = details.get("py_versions") or [key for key in details if key.startswith("py")]
            python = pythons[-1] if pythons else None
            within = details.get(python or "") or details
            tags = tags_of(
                framework, scope, version, base, python, config.get("processors") or within.get("processors")
            )
            repository = next(iter(tags.values())).split("/", 1)[1].rsplit(":", 1)[0]
            versions[f"{version}-{base}" if base else version] = {
                "repository": repository,
                "registries": shared_name(shared, within["registries"]),
                **{processor: uri.rsplit(":", 1)[1] for processor, uri in tags.items()},
            }
    return {"aliases": {alias: v for alias, v in aliases.items() if v in versions}, "versions": versions}


def bases_of(framework: str, entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Hugging Face's versions have one image for each version of PyTorch or TensorFlow below them."""
    if framework != "huggingface":
        return {"": entry}
    return {base: details for base, details in entry.items() if base != "version_aliases"}


def tags_of(
    framework: str, scope: str, version: str, base: str, python: str | None, processors: list[str] | None
) -> dict[str, str]:
    return {
        processor: sdk_uri(framework, scope, version, base, python, processor)
        for processor in sorted(set(processors or ["cpu"]) & set(INSTANCES))
    }


@cache
def sdk_retrieve() -> Callable[..., str]:
    """The SDK's own look-up, which otherwise reads botocore's endpoints anew each time (60 ms, 400 times)."""
    from sagemaker.core import common_utils, image_uris

    common_utils._botocore_resolver = cache(common_utils._botocore_resolver)
    retrieve: Callable[..., str] = image_uris.retrieve
    return retrieve


def sdk_uri(
    framework: str, scope: str, version: str, base: str, python: str | None, processor: str, region: str = "us-east-1"
) -> str:
    return str(
        sdk_retrieve()(
            framework,
            region,
            version=version,
            py_version=python,
            instance_type=INSTANCES[processor],
            image_scope=scope,
            base_framework_version=base or None,
        )
    )


def shared_name(shared: dict[str, Any], accounts: dict[str, str]) -> str:
    for name, known in shared.items():
        if known == accounts:
            return str(name)
    shared[str(len(shared))] = dict(sorted(accounts.items()))
    return str(len(shared) - 1)


def test_images_json_is_what_the_sdk_says() -> None:
    text = json.dumps(generated(), indent=1) + "\n"
    if os.environ.get("MLPLAT_WRITE_IMAGES"):
        FILE.write_text(text, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == text, "MLPLAT_WRITE_IMAGES=1 pytest tests/templates/test_images.py"


@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-central-1", "il-central-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1"]
)
def test_uris_are_the_sdks_in_every_partition(region: str) -> None:
    assert image_uri("scikit-learn:1.2-1", region, "training") == sdk_uri(
        "sklearn", "training", "1.2-1", "", "py3", "cpu", region
    )


def test_gpu_instances_get_the_gpu_image() -> None:
    uri = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-{}-py312"
    assert image_uri("pytorch:2.8", "us-east-1", "training") == uri.format("cpu")
    assert image_uri("pytorch:2.8.0", "us-east-1", "training", "ml.c5.xlarge") == uri.format("cpu")
    assert image_uri("pytorch:2.8", "us-east-1", "training", "ml.g5.xlarge") == uri.format("gpu")
    assert image_uri("pytorch:2.8", "us-east-1", "training", "ml.p4d.24xlarge") == uri.format("gpu")


def test_every_instance_type_that_the_sdk_calls_gpu_is_accelerated() -> None:
    from sagemaker.core import image_uris

    folder = Path(image_uris.__file__).with_name("image_uri_config")
    gpus = set(json.loads((folder / "instance_gpu_info.json").read_text())["us-east-1"])
    assert gpus
    assert {each for each in gpus if not images.ACCELERATED.match(each)} == set()
    assert not images.ACCELERATED.match("ml.m5.large")


def test_processing_runs_in_the_training_image() -> None:
    assert image_uri("xgboost:1.7-1", "us-east-1", "processing") == image_uri("xgboost:1.7-1", "us-east-1", "training")


def test_a_uri_is_returned_as_it_is() -> None:
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine@sha256:abc"
    assert image_uri(uri, "us-east-1", "inference") == uri
    assert repository_arn(uri, "aws") == "arn:aws:ecr:eu-west-1:123456789012:repository/mine"
    assert repository_arn("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/mine:1", "aws-cn") == (
        "arn:aws-cn:ecr:cn-north-1:123456789012:repository/team/mine"
    )
    assert repository_arn("registry.example.com/mine:1", "aws") is None


@pytest.mark.parametrize(
    ("image", "region", "meant"),
    [
        ("scikit-lern:1.2-1", "us-east-1", "did you mean 'scikit-learn'"),
        ("scikit-learn:1.2", "us-east-1", "did you mean '1.2-1'"),
        ("scikit-learn", "us-east-1", "no training image of version ''"),
        ("scikit-learn:1.2-1", "eu-centrel-1", "did you mean 'eu-central-1'"),
    ],
)
def test_unknown_names_say_the_nearest(image: str, region: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=meant):
        image_uri(image, region, "training")


def test_registries_of_a_region() -> None:
    assert {"683313688378", "763104351884"} <= set(registries("us-east-1"))
    assert registries("mars-north-1") == []
