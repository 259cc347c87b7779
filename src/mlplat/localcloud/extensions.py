"""Makes moto as strict as AWS: its backends and responses replaced by subclasses before anything uses them."""

from __future__ import annotations


def register() -> None:
    """Load the services that mlplat uses and put ours in the place of moto's."""
    from functools import cache

    import moto.iam.models
    import moto.sts.models  # noqa: F401
    from moto.core import responses, utils

    from mlplat.localcloud import buckets

    responses.method_names_from_class = cache(utils.method_names_from_class)
    buckets.register()


def extend(service: str) -> None:
    """Before moto's application for a service is made: what AWS does otherwise there. Loaded only when needed."""
    if service == "ec2":
        from mlplat.localcloud import ec2

        ec2.install()
