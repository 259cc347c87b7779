"""Network interfaces that others leave behind: they hold subnets and security groups until they are gone."""

from __future__ import annotations

from mlplat.aws import Session
from mlplat.resources.ec2.tagged import filter_list


def wait_for_interfaces(aws: Session, by: str, id: str) -> None:
    """Wait until no interface is found by the filter; who still is there is reported.

    Those of interface endpoints and of SageMaker's jobs and endpoints outlive their owners by minutes, those of Lambda
    by up to forty (terraform-provider-aws #34397, #26090).
    """

    def read() -> dict[str, str]:
        ec2 = aws.client("ec2")
        found = ec2.pages("describe_network_interfaces", "NetworkInterfaces", Filters=filter_list({by: [id]}))
        return {each["NetworkInterfaceId"]: each.get("Description", "") for each in found}

    if left := read():
        aws.report(f"in use by {_told(left)}")
        aws.wait(f"{_told(left)} to leave {id}", read, lambda now: not now, every=10.0)


def _told(interfaces: dict[str, str]) -> str:
    return ", ".join(f"{id} ({description})" if description else id for id, description in interfaces.items())
