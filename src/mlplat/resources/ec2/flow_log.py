"""VPC flow logs to CloudWatch Logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Ref
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged, repeatable, unsuccessful


@dataclass(frozen=True, kw_only=True)
class FlowLog(Tagged):
    """What goes in and out of a VPC, written to a log group.

    Nothing of it can be changed, so every change replaces it. `log_group` is the group's name. CreateFlowLogs and
    DeleteFlowLogs answer 200 and list what failed; a role made a moment ago is refused with InvalidParameter
    "Unable to assume given IAM role" (terraform-provider-aws, internal/service/ec2/vpc_flow_log.go).
    Outputs: `id`.
    """

    kind: ClassVar[str] = "flow_log"
    immutable: ClassVar[frozenset[str]] = frozenset({"vpc", "traffic", "log_group", "role"})
    listing: ClassVar[Listing] = Listing(
        "describe_flow_logs", "FlowLogs", "FlowLogId", "flow-log-id", "vpc-flow-log", filters="Filter"
    )

    vpc: str | Ref
    log_group: str | Ref
    role: str | Ref
    traffic: str = "ALL"

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """All of it is in DescribeFlowLogs."""
        return {
            "vpc": raw["ResourceId"],
            "log_group": raw.get("LogGroupName"),
            "role": raw.get("DeliverLogsPermissionArn"),
            "traffic": raw["TrafficType"],
        }

    def create(self, aws: Session) -> str:
        """Retried while the role is too fresh to be assumed."""

        def send(token: str) -> Any:
            answer = aws.client("ec2").create_flow_logs(
                ResourceIds=[self.vpc],
                ResourceType="VPC",
                TrafficType=self.traffic,
                LogDestinationType="cloud-watch-logs",
                LogGroupName=self.log_group,
                DeliverLogsPermissionArn=self.role,
                ClientToken=token,
                TagSpecifications=self.tag_specifications(aws),
            )
            unsuccessful(answer, "create_flow_logs")
            return answer

        made = repeatable(aws, lambda token: aws.patiently(lambda: send(token)))
        return self.settle(aws, str(made["FlowLogIds"][0]))

    def delete(self, aws: Session, id: str) -> None:
        """One call; what failed is in its answer."""
        with aws.gone_is_fine():
            unsuccessful(aws.client("ec2").delete_flow_logs(FlowLogIds=[id]), "delete_flow_logs")
