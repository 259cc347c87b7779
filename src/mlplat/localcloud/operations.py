"""What the local cloud does with every operation, found out from the code: `make docs` writes it to a page.

An operation is ours, or moto's, or nobody's. Of moto's, `BY_KEEPING` says which do all that AWS does; that is the one
judgement here, and a test asks a running local cloud whether what is said to be refused is.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REAL, RECORDED, REFUSED = "real", "recorded only", "refused"

MOTO_NAMES = {
    "application-autoscaling": "applicationautoscaling",
    "lambda": "awslambda",
    "sagemaker-metrics": "sagemakermetrics",
    "sagemaker-runtime": "sagemakerruntime",
    "service-quotas": "servicequotas",
}
"""moto's packages that are not named as botocore names the service."""

SERVICES = (
    "apigateway", "application-autoscaling", "athena", "cloudwatch", "ec2", "events", "glue", "iam", "kms", "lambda",
    "logs", "resourcegroupstaggingapi", "s3", "sagemaker", "sagemaker-featurestore-runtime", "sagemaker-metrics",
    "sagemaker-runtime", "scheduler", "service-quotas", "sns", "sqs", "sts",
)  # fmt: skip
"""The services that mlplat and what runs on it use."""

BY_KEEPING = {
    "apigateway": r"(?!Import)\w*(RestApis?|Resources?|Method|Integration|(Method|Integration)Response|Deployments?"
    r"|Stages?|ApiKeys?|UsagePlan\w*|RequestValidators?)",
    "application-autoscaling": r"(?!\w*Tag|\w*Predictive)\w+",
    "athena": r"\w+(WorkGroup|WorkGroups|NamedQuery|NamedQueries|PreparedStatement)|TagResource|UntagResource",
    "cloudwatch": r"(PutMetric|GetMetric)(Data|Statistics)|ListMetrics|TagResource|UntagResource|ListTagsForResource"
    r"|\w*Alarms?(State|Actions|History|ForMetric)?|\w*Dashboards?",
    "events": r"(Put|Remove)(Rule|Targets|Events)|\w+(Rule|EventBus|EventBuses|Rules|Archive|Archives)|\w*ByTarget"
    r"|List(TargetsByRule|TagsForResource)|TagResource|UntagResource",
    "glue": r"\w*(Database|Databases|Table|Tables|TableVersions?|Partitions?|PartitionIndexes|Tags|Resource)",
    "iam": r"(?!.*Account)\w*(Role|Polic|Entities)\w*|\w*(User|Users|Group|Groups|AccessKey|AccessKeys)",
    "kms": r"\w+",
    "lambda": r"\w+(Function|FunctionConfiguration|Functions|Alias|Aliases|LayerVersion|FunctionCode)|PublishVersion",
    "logs": r"(?!.*(Subscription|Quer|Destination|Deliver|Export|Anomaly|Polic|Live))\w+",
    "resourcegroupstaggingapi": r"\w+",
    "s3": r"(?!.*(Accelerate|Inventory|Lifecycle|Logging|Website|Restore))\w+",
    "sagemaker-metrics": r"\w+",
    "scheduler": r"\w+",
    "sns": r"\w*(Topic|[Ss]ubscri|Publish)\w*|TagResource|UntagResource|ListTagsForResource",
    "sqs": r"\w+",
    "sts": r"\w+",
}
"""moto's operations that do what AWS does when they keep what they are told, or act on what is kept: by service."""

UNFINISHED = "is not yet implemented"
"""Part of the text that moto's methods raise where there is nothing behind them."""

BEGIN, END = "<!-- operations: begin -->", "<!-- operations: end -->"


def kinds(service: str) -> dict[str, str]:
    """By operation: real, recorded only or refused."""
    names = _names(service)
    own, moto = _own(service, names), _of_moto(service, names)
    really = re.compile(BY_KEEPING.get(service, r"(?!)"))

    def kind(name: str) -> str:
        if name in own:
            return own[name]
        return REFUSED if name not in moto else REAL if really.fullmatch(name) else RECORDED

    return {name: kind(name) for name in sorted(names)}


def tables() -> str:
    """Markdown: how many of each kind by service, and a table of their names for each service."""
    found = {service: kinds(service) for service in SERVICES}
    rows = ["| service | real | recorded only | refused |", "| --- | ---: | ---: | ---: |"]
    for service, operations in found.items():
        counts = [list(operations.values()).count(kind) for kind in (REAL, RECORDED, REFUSED)]
        rows.append(f"| [{service}](#{service}) | {' | '.join(map(str, counts))} |")
    return "\n".join([*rows, *(line for service in SERVICES for line in _table(service, found[service]))])


def write(page: Path) -> None:
    """Put the tables in their place on the page."""
    page.write_text(written(page.read_text()))


def written(page: str) -> str:
    """The page with its tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def _table(service: str, operations: dict[str, str]) -> Iterator[str]:
    yield from ("", f"### {service}", "", "| | operations |", "| --- | --- |")
    for kind in (REAL, RECORDED, REFUSED):
        names = [name for name, its in operations.items() if its == kind]
        if names:
            yield f"| {kind} | {', '.join(names)} |"


def _names(service: str) -> list[str]:
    """As botocore has them; moto adds some of its own to S3."""
    import botocore.session

    return list(botocore.session.get_session().get_service_model(service).operation_names)


def _own(service: str, names: list[str]) -> dict[str, str]:
    """Operations of our families: real, unless the family says of itself that it is `recorded_only`."""
    from botocore import xform_name

    from mlplat.localcloud.families import families

    ours = [each for each in families() if getattr(each, "service", "sagemaker") == service]
    return {
        name: RECORDED if getattr(family, "recorded_only", False) else REAL
        for family in ours
        for name in names
        if hasattr(family, xform_name(name))
    }


def _of_moto(service: str, names: list[str]) -> set[str]:
    from botocore import xform_name
    from moto.core.responses import BaseResponse

    from mlplat.localcloud.s3 import NOT_IMPLEMENTED

    if service == "s3":
        return set(names) - set(NOT_IMPLEMENTED)
    try:
        module = importlib.import_module(f"moto.{MOTO_NAMES.get(service, service)}.responses")
    except ImportError:
        return set()
    kinds = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    answering = [each for each in kinds if issubclass(each, BaseResponse)]
    return {name for name in names if any(_has(each, xform_name(name), BaseResponse) for each in answering)}


def _has(answering: Any, method: str, base: type) -> bool:
    found = getattr(answering, method, None)
    if found is None or hasattr(base, method):
        return False
    code = getattr(found, "__code__", None)
    return code is None or not any(UNFINISHED in each for each in code.co_consts if isinstance(each, str))


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/local-cloud.md"))
