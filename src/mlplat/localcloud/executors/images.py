"""Which training images this machine can stand in for: chosen by repository name, whatever the account or region."""

from __future__ import annotations

import importlib.util

RUNTIMES: dict[str, tuple[str, ...]] = {
    "sagemaker-scikit-learn": ("sklearn",),
    "sagemaker-xgboost": ("xgboost",),
    "pytorch-training": ("torch",),
    "tensorflow-training": ("tensorflow",),
    "mxnet-training": ("mxnet",),
    "huggingface-pytorch-training": ("torch", "transformers"),
    "huggingface-tensorflow-training": ("tensorflow", "transformers"),
}
"""Framework images that carry the training toolkit, and the packages that a script may expect of them."""


def repository(image: str) -> str:
    """`sagemaker-scikit-learn` of `<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3`."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def why_not(image: str, *, script: bool) -> str | None:
    """Why the local cloud can't train with `image` alone, without an entrypoint of the request's own; None if it can.

    `script`: whether the request names a script (`sagemaker_program`).
    """
    name = repository(image)
    if name not in RUNTIMES:
        known = ", ".join(RUNTIMES)
        return (
            f"the local cloud has no runtime for the image {image}: it stands in for {known}, and runs any image "
            "whose AlgorithmSpecification has a ContainerEntrypoint"
        )
    if missing := [package for package in RUNTIMES[name] if importlib.util.find_spec(package) is None]:
        return f"the image {name} needs Python's {', '.join(missing)}, which this machine does not have"
    if not script:
        return f"the image {name} runs a script: give its name as the hyperparameter sagemaker_program"
    return None
