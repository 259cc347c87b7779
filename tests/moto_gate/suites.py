"""Which of moto's tests are run for which service, and what one run of them came to."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

VPC_PARTS = (
    "availability_zones_and_regions", "dhcp_options", "egress_only_igw", "elastic_ip_addresses",
    "elastic_network_interfaces", "flow_logs", "internet_gateways", "nat_gateway", "network_acls", "prefix_lists",
    "route_tables", "security_groups", "subnets", "tags", "vpc_endpoint_services_integration", "vpc_peering",
    "vpc_service_configuration_integration", "vpcs",
)  # fmt: skip

SUITES: dict[str, tuple[str, ...]] = {
    "apigateway": ("test_apigateway",),
    "application-autoscaling": ("test_applicationautoscaling",),
    "cloudwatch": ("test_cloudwatch",),
    "ec2": tuple(f"test_ec2/test_{part}.py" for part in VPC_PARTS),
    "events": ("test_events",),
    "glue": ("test_glue",),
    "iam": ("test_iam",),
    "kms": ("test_kms",),
    "logs": ("test_logs",),
    "s3": ("test_s3",),
    "sagemaker": ("test_sagemaker",),
}
"""By service: folders and files below moto's `tests`."""


@dataclass(frozen=True)
class Outcome:
    """One suite's tests by how they ended; what failed with the last line of why."""

    passed: frozenset[str]
    skipped: frozenset[str]
    failed: dict[str, str]


def run(moto: Path, service: str, port: int, scratch: Path, only: Collection[str] = ()) -> Outcome:
    """The service's tests, or only these, in server mode against whatever listens on the port."""
    report = scratch / f"{service}-{port}.xml"
    environment = os.environ | {
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": f"http://localhost:{port}",
        "TESTS_SKIP_REQUIRES_DOCKER": "1",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        "AWS_ACCESS_KEY_ID": "FOOBARKEY",
        "AWS_SECRET_ACCESS_KEY": "FOOBARSECRET",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(moto), os.environ.get("PYTHONPATH")))),
    }
    paths = [_node(moto, name) for name in only] or [f"tests/{path}" for path in SUITES[service]]
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "--no-header"]
    command += ["--tb=line", "--timeout=300"]
    subprocess.run([*command, f"--junitxml={report}", *paths], cwd=moto, env=environment, stdout=subprocess.DEVNULL)
    return _read(report)


def _node(moto: Path, name: str) -> str:
    """`tests/test_kms/test_kms.py::TestIt::test_it` for `test_kms.test_kms.TestIt::test_it`."""
    place, _, test = name.partition("::")
    parts = place.split(".")
    depth = next(n for n in range(1, len(parts) + 1) if (moto / "tests" / f"{'/'.join(parts[:n])}.py").is_file())
    return "::".join([f"tests/{'/'.join(parts[:depth])}.py", *parts[depth:], test])


def _read(report: Path) -> Outcome:
    passed, skipped, failed = set(), set(), dict[str, str]()
    for name, case in _cases(report):
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        if problem is not None:
            failed[name] = " ".join((problem.get("message") or problem.text or "").split())[:300]
        elif case.find("skipped") is not None:
            skipped.add(name)
        else:
            passed.add(name)
    return Outcome(frozenset(passed), frozenset(skipped), failed)


def _cases(report: Path) -> Iterator[tuple[str, ElementTree.Element]]:
    for case in ElementTree.parse(report).iter("testcase"):
        yield f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}", case
