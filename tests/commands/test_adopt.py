"""`mlplat adopt`: what somebody made by hand, taken under management with every difference shown; or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.commands.shell import FREE, LOCAL, Shell, shells

from mlplat import output
from mlplat.errors import ForeignObject

DATA = "ml_data_infrastructure"
RAW = f"{DATA}.bucket.raw"
KEY = f"{DATA}.kms_key.platform"
VPC = f"{DATA}.vpc.main"
DEFAULT = f"{DATA}.default_security_group.main"
SUBNET = f"{DATA}.subnet.private_1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from shells(tmp_path_factory.mktemp("adopt"))


@pytest.fixture(autouse=True)
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.mode, "json", False)


def namespace(folder: Path, name: str, text: str = FREE) -> Shell:
    shell = Shell(folder, name)
    shell.configure(text)
    return shell


def bucket(shell: Shell) -> str:
    """The bucket as somebody made it by hand: with data in it, and tags of their own."""
    account = shell.client("sts").get_caller_identity()["Account"]
    name, s3 = f"mlplat-{shell.namespace}-raw-{account}-us-east-1", shell.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "team", "Value": "sales"}]})
    s3.put_object(Bucket=name, Key="customers.csv", Body=b"1,2")
    return name


def vpc(shell: Shell, cidr: str = "10.1.0.0/16") -> str:
    return str(shell.client("ec2").create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"])


def test_a_bucket_made_by_hand_by_its_name(folder: Path) -> None:
    shell = namespace(folder, "hand")
    shell.run("apply", "--target", KEY)
    name = bucket(shell)
    assert "carries no tags of mlplat" in shell.refused("plan", "--target", RAW).message
    shell.configure(LOCAL)
    error = shell.refused("adopt", RAW)
    assert f"hand: 1 to adopt. Adopt {name}?" in error.message
    assert not shell.client("s3").get_bucket_versioning(Bucket=name).get("Status")
    shell.configure(FREE)

    told = shell.run("adopt", RAW).output
    assert "versioning: false → true" in told
    assert f"tags.mlplat:address: (none) → {RAW}" in told
    assert f"{RAW}: {name} is managed from now on" in told
    tags = {each["Key"]: each["Value"] for each in shell.client("s3").get_bucket_tagging(Bucket=name)["TagSet"]}
    assert (tags["team"], tags["mlplat:address"]) == ("sales", RAW)
    assert shell.client("s3").get_object(Bucket=name, Key="customers.csv")["Body"].read() == b"1,2"
    assert shell.json("outputs", RAW)[RAW]["name"] == name
    assert "nothing to change" in shell.run("plan", "--target", RAW).output
    assert shell.json("drift")["counts"] == {"drifted": 0, "clean": 2, "not checked": 0}

    again = shell.json("adopt", RAW)
    assert (again["adopted"], again["changes"], again["id"]) == (False, [], name)
    shell.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    told = shell.run("adopt", RAW).output
    assert f"{RAW} differs from what is declared (versioning); apply brings it in line" in told
    assert f"hint: mlplat apply --target {RAW} --namespace hand" in told
    assert shell.json("drift", code=2)["counts"]["drifted"] == 1, "it is not adopt that repairs"


class Killed(BaseException):
    pass


def test_one_that_was_cut_off_before_its_tags_were_on_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.client import BaseClient

    shell, whole = namespace(folder, "cut"), BaseClient._make_api_call
    id = vpc(shell)

    def cut(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "CreateTags":
            raise Killed
        return whole(client, operation, parameters)

    shell.configure(FREE + '[network]\ncidr = "10.1.0.0/16"\n')
    with monkeypatch.context() as patching, pytest.raises(Killed):
        patching.setattr(BaseClient, "_make_api_call", cut)
        shell.run("adopt", VPC, id)
    assert "managed from now on" in shell.run("adopt", VPC, id).output
    (found,) = shell.client("ec2").describe_vpcs(VpcIds=[id])["Vpcs"]
    assert {"Key": "mlplat:address", "Value": VPC} in found["Tags"]
    assert "managed already" in shell.run("adopt", VPC, id).output


def test_what_aws_names_by_id(folder: Path) -> None:
    shell = namespace(folder, "ids")
    error = shell.refused("adopt", VPC)
    assert f"adopting {VPC}: AWS knows a vpc by its id alone; say it: mlplat adopt {VPC} ID" in error.message
    assert (error.hint, error.exit_code) == ("aws ec2 describe-vpcs", 2)
    error = shell.refused("adopt", VPC, "vpc-0000000000000000f")
    assert f"adopting {VPC}: there is no vpc vpc-0000000000000000f" in error.message

    other, mine = vpc(shell, "10.2.0.0/16"), vpc(shell)
    error = shell.refused("adopt", VPC, other)
    assert f"{other} doesn't match: cidr is '10.2.0.0/16', not '10.1.0.0/16', which can't be changed" in error.message
    found = shell.json("adopt", VPC, f"arn:aws:ec2:us-east-1:123456789012:vpc/{mine}")
    assert (found["id"], found["adopted"]) == (mine, True)
    assert {"field": "dns_hostnames", "old": False, "new": True} in found["changes"]
    assert shell.json("adopt", VPC, mine)["adopted"] is False
    error = shell.refused("adopt", VPC, other)
    assert f"adopting {VPC}: {other} can't be it, because {mine} is; let that go first" in error.message
    assert error.hint == f"mlplat state forget {VPC} --namespace ids"
    (folder / ".mlplat" / "ids.state.json").unlink()
    assert f"because {mine} is" in shell.refused("adopt", VPC, vpc(shell)).message, "its tags say so, too"


def test_what_it_needs_comes_first(folder: Path) -> None:
    shell = namespace(folder, "first")
    error = shell.refused("adopt", SUBNET, "subnet-0000000000000000f")
    assert f"it needs {VPC}, which isn't there yet" in error.message
    assert error.hint == f"mlplat apply --target {VPC} --namespace first"
    shell.run("apply", "--target", VPC)
    network: dict[str, Any] = {"VpcId": shell.json("outputs")[VPC]["id"], "AvailabilityZone": "us-east-1a"}
    made = shell.client("ec2").create_subnet(CidrBlock="10.1.128.0/20", **network)["Subnet"]["SubnetId"]
    assert shell.json("adopt", SUBNET, made)["adopted"] is True
    second = f"{DATA}.subnet.private_2"
    error = shell.refused("adopt", second, made)
    assert f"adopting {second}: {made} is {SUBNET}, which is declared as well" in error.message
    assert (
        f"adopting {DATA}.subnet.privat_1: nothing of that address is declared"
        in (error := shell.refused("adopt", f"{DATA}.subnet.privat_1")).message
    )
    assert error.hint == f"mlplat adopt {SUBNET} --namespace first"
    filters = [{"Name": "vpc-id", "Values": [network["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    default = shell.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    for words in ((DEFAULT, default), (DEFAULT,)):
        error = shell.refused("adopt", *words)
        assert f"adopting {DEFAULT}: AWS makes it with its VPC, and apply takes that of the VPC over" in error.message
        assert error.hint == f"mlplat apply --target {DEFAULT} --namespace first"
    shell.run("apply", "--template", DATA)
    assert shell.json("outputs")[SUBNET]["id"] == made
    assert shell.json("adopt", DEFAULT, default)["adopted"] is False, "it is managed already"


def test_what_another_namespace_has_is_refused_until_it_lets_go(folder: Path) -> None:
    one, two = namespace(folder, "one"), namespace(folder, "two")
    one.run("apply", "--target", VPC)
    id = one.json("outputs")[VPC]["id"]
    for words in (("adopt", VPC, id), ("adopt", VPC, id, "--auto-approve")):
        error = two.refused(*words)
        assert isinstance(error, ForeignObject)
        assert f"{id} exists already, but it belongs to {VPC} of namespace one; it is left alone" in error.message
        assert error.hint == f"mlplat state forget {VPC} --namespace one"
    (folder / ".mlplat" / "one.state.json").unlink()
    error = one.refused("state", "forget", VPC)
    assert f"doesn't know it, but {id} carries its tags" in error.message
    assert error.hint == "mlplat state rebuild --namespace one"
    one.run("state", "rebuild")
    one.run("state", "forget", VPC)
    assert two.json("adopt", VPC, id)["adopted"] is True
    assert one.json("state", "list") == []
