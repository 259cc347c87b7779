"""Every call of the product: it exists in botocore's models, has pages where it says so, and is classified right.

The source is scanned: `X.client("sagemaker").create_model(...)`, the same through a name that holds the client, and
`client.pages("operation", "Key", Param=...)`. What is put together at run time (a kind's listing, a bucket's parts, the
rules of a security group) is listed below, and a new one has to be added there.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

import mlplat.resources
from mlplat.aws import READS
from mlplat.resources.base import KINDS
from mlplat.resources.ec2.tagged import Tagged
from mlplat.resources.s3.bucket import PARTS, TAGS

SOURCE = Path(mlplat.resources.__file__).parents[1]
FILES = sorted(
    path
    for path in SOURCE.rglob("*.py")
    if path.relative_to(SOURCE).parts[0] in ("aws", "resources", "templates", "workflows", "reconciler", "commands")
)
OURS = frozenset({"pages", "boto"})
"""What a Client has besides boto3's operations."""

DYNAMIC = {
    "resources/ec2/tagged.py": 1,  # Listing.operation
    "resources/ec2/rules.py": 2,  # authorize, revoke and describe rules, ingress and egress
    "resources/s3/bucket.py": 2,  # get and put of a Part
}
"""How often a file looks up an operation by a name that it makes."""

LISTINGS = [kind.listing for kind in KINDS.values() if issubclass(kind, Tagged)]
COMPOSED = [
    *(("ec2", listing.operation) for listing in LISTINGS),
    *(("s3", f"{verb}_{part.call}") for part in (*PARTS.values(), TAGS) for verb in ("get", "put")),
    *(
        ("ec2", f"{verb}_{way}")
        for verb in ("authorize_security_group", "revoke_security_group", "update_security_group_rule_descriptions")
        for way in ("ingress", "egress")
    ),
]


class Use(NamedTuple):
    """One call in the source; `operation` is boto3's method name."""

    service: str
    operation: str
    place: str
    params: tuple[str, ...] = ()
    key: str | None = None


@cache
def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def operation_model(service: str, operation: str) -> Any:
    return client(service).meta.service_model.operation_model(client(service).meta.method_to_api_mapping[operation])


class _Scan(ast.NodeVisitor):
    """Collects the calls of one file. A name that holds a client is known in the function that it is set in."""

    def __init__(self, path: Path) -> None:
        self.path, self.uses, self.lookups = path, list[Use](), 0
        self.unknown: list[str] = []
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self.texts = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        } | _imported_texts(tree)
        self.held: list[dict[str, str]] = [{}]
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.held.append(dict(self.held[-1]))
        self.generic_visit(node)
        self.held.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._hold(target, node.value)
        self.generic_visit(node)

    def _hold(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each in zip(target.elts, value.elts, strict=True):
                self._hold(*each)
        elif isinstance(target, ast.Name) and (service := self._service(value)):
            self.held[-1][target.id] = service

    def _service(self, node: ast.expr) -> str | None:
        """The service of an expression that is a client."""
        if isinstance(node, ast.Name):
            return self.held[-1].get(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "client":
            return self._text(node.args[0]) if node.args else None
        return None

    def _text(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant):
            return str(node.value)
        return self.texts.get(node.id) if isinstance(node, ast.Name) else None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if (service := self._service(node.value)) and node.attr not in OURS:
            self.uses.append(Use(service, node.attr, self._place(node)))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        params = tuple(each.arg for each in node.keywords if each.arg)
        if isinstance(node.func, ast.Attribute) and (service := self._service(node.func.value)):
            if node.func.attr == "pages":
                self._page(node, service, params)
            elif node.func.attr not in OURS:
                self.uses.append(Use(service, node.func.attr, self._place(node), params))
        elif isinstance(node.func, ast.Name) and node.func.id == "getattr" and self._service(node.args[0]):
            self.lookups += 1
        self.generic_visit(node)

    def _page(self, node: ast.Call, service: str, params: tuple[str, ...]) -> None:
        operation, key = (self._text(each) for each in node.args)
        if operation and key:
            self.uses.append(Use(service, operation, self._place(node), params, key))
        else:
            self.unknown.append(ast.unparse(node))

    def _place(self, node: ast.expr) -> str:
        return f"{self.path.relative_to(SOURCE).as_posix()}:{node.lineno}"


def _imported_texts(tree: ast.Module) -> dict[str, str]:
    """The constants of text that a file takes from other files of the product."""
    taken = [
        (alias.asname or alias.name, getattr(importlib.import_module(node.module), alias.name, None))
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlplat.")
        for alias in node.names
    ]
    return {name: value for name, value in taken if isinstance(value, str)}


SCANS = {path.relative_to(SOURCE).as_posix(): _Scan(path) for path in FILES}
USES = sorted(
    {use for scan in SCANS.values() for use in scan.uses} | {Use(*each, place="composed") for each in COMPOSED},
    key=str,
)
PAGED = [use for use in USES if use.key] + [
    Use("ec2", each.operation, "listing", (each.filters,), each.key) for each in LISTINGS if each.paged
]
COMPOSED_PAGES = {
    "resources/ec2/tagged.py": 1,  # Listing
    "resources/iam/role.py": 1,  # listed(operation, key): the two lines below
}
PAGED += [
    Use("iam", "list_instance_profiles_for_role", "composed", ("RoleName",), "InstanceProfiles"),
    Use("iam", "list_attached_role_policies", "composed", ("RoleName",), "AttachedPolicies"),
]


def test_the_scan_sees_the_product() -> None:
    """Were it blind, everything below would pass."""
    seen = {(use.service, use.operation) for use in USES}
    assert len(seen) > 120
    assert {
        ("sagemaker", "create_training_job"),
        ("sagemaker-featurestore-runtime", "batch_write_record"),
        ("kms", "schedule_key_deletion"),
        ("ec2", "create_nat_gateway"),
        ("s3", "put_bucket_lifecycle_configuration"),
    } <= seen
    assert len(PAGED) > 25


def test_operations_are_looked_up_by_name_only_where_we_know_of() -> None:
    assert {file: scan.lookups for file, scan in SCANS.items() if scan.lookups} == DYNAMIC
    assert {file: len(scan.unknown) for file, scan in SCANS.items() if scan.unknown} == COMPOSED_PAGES


@pytest.mark.parametrize("use", USES, ids=str)
def test_the_operation_exists_with_these_parameters(use: Use) -> None:
    assert use.operation in client(use.service).meta.method_to_api_mapping, use
    shape = operation_model(use.service, use.operation).input_shape
    assert set(use.params) <= set(shape.members if shape else ()), use


@pytest.mark.parametrize("use", PAGED, ids=str)
def test_what_is_read_in_pages_can_be(use: Use) -> None:
    assert client(use.service).can_paginate(use.operation), use
    pagination = client(use.service).get_paginator(use.operation)._pagination_cfg
    keys = pagination["result_key"]
    assert use.key in (keys if isinstance(keys, list) else [keys]), use
    assert use.key in operation_model(use.service, use.operation).output_shape.members
    assert READS.match(use.operation), "a page is repeated freely"


@pytest.mark.parametrize("listing", [each for each in LISTINGS if not each.paged], ids=str)
def test_what_is_read_in_one_answer_comes_in_one(listing: Any) -> None:
    assert not client("ec2").can_paginate(listing.operation)
    assert listing.key in operation_model("ec2", listing.operation).output_shape.members
    assert listing.filters in operation_model("ec2", listing.operation).input_shape.members


CHANGING = frozenset(
    {
        "abort", "add", "allocate", "assign", "associate", "attach", "authorize", "batch", "cancel", "create", "delete",
        "deregister", "detach", "disable", "disassociate", "enable", "import", "invoke", "modify", "put", "register",
        "release", "remove", "replace", "revoke", "run", "schedule", "send", "set", "start", "stop", "subscribe", "tag",
        "terminate", "unsubscribe", "untag", "update", "upload", "write",
    }
)  # fmt: skip
"""First words of the operations that change something; batch_get_... is the exception."""


@pytest.mark.parametrize("use", sorted({(use.service, use.operation) for use in USES}), ids=str)
def test_reads_are_what_is_repeated_freely(use: tuple[str, str]) -> None:
    service, operation = use
    description = client(service).meta.service_model._service_description["operations"]
    raw = description[client(service).meta.method_to_api_mapping[operation]]
    is_read = bool(READS.match(operation))
    if raw.get("readonly") or raw.get("http", {}).get("method") in ("GET", "HEAD"):
        assert is_read, f"{operation} changes nothing: it may be repeated"
    elif operation.split("_")[0] in CHANGING and not operation.startswith("batch_get_"):
        assert not is_read, f"{operation} changes something: it must not be repeated"
    else:
        assert is_read, f"{operation} is neither: say so here"
