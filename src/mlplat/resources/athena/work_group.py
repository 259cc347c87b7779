"""Work groups: where queries of one team run, and where their results go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed, Ref, Resource


@dataclass(frozen=True, kw_only=True)
class AthenaWorkGroup(Resource):
    """A work group whose queries all write encrypted results to one place, whatever the client says.

    What AWS makes special (API reference, CreateWorkGroup, UpdateWorkGroup, DeleteWorkGroup):

    - UpdateWorkGroup takes another shape than CreateWorkGroup: parts are replaced or removed by flags of their own.
    - A group with queries in its history can only be deleted recursively. That forgets the history; results stay.
    - EnforceWorkGroupConfiguration makes Athena ignore the location and encryption of the client's request.
    """

    kind: ClassVar[str] = "athena_work_group"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    output_location: str | Ref
    """s3://bucket/prefix/ of the results."""
    key: str | Ref | None = None
    """ARN of the KMS key of the results; without one they are encrypted by S3's own."""
    description: str = ""
    scan_limit: int | None = None
    """Bytes after which a query is cancelled, at least 10,000,000; None leaves it as it is."""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The group by its name, which is its id."""
        athena, name = aws.client("athena"), id or self.name
        group = aws.find(lambda: athena.get_work_group(WorkGroup=name)["WorkGroup"])
        if group is None:
            return None
        configuration = group.get("Configuration", {})
        result = configuration.get("ResultConfiguration", {})
        arn = _arn(aws, name)
        fields = {
            "name": name,
            "output_location": result.get("OutputLocation"),
            "key": result.get("EncryptionConfiguration", {}).get("KmsKey"),
            "description": group.get("Description", ""),
            "scan_limit": configuration.get("BytesScannedCutoffPerQuery"),
        }
        tags = aws.find(lambda: list(athena.pages("list_tags_for_resource", "Tags", ResourceARN=arn)))
        return Observed(name, fields, {"name": name, "arn": arn}, tag_map(tags))

    def create(self, aws: Session) -> str:
        """CreateWorkGroup with tags."""
        aws.client("athena").create_work_group(
            Name=self.name,
            Description=self.description,
            Configuration={
                "ResultConfiguration": self._result(),
                "PublishCloudWatchMetricsEnabled": True,
                **self._rules(),
            },
            Tags=tag_list(aws.tags),
        )
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The whole configuration, and tags."""
        athena = aws.client("athena")
        if "tags" in changed:
            arn = seen.outputs["arn"]
            athena.tag_resource(ResourceARN=arn, Tags=tag_list(aws.tags))
            if outdated := list(aws.outdated(seen.tags)):
                athena.untag_resource(ResourceARN=arn, TagKeys=outdated)
        if changed - {"tags"}:
            athena.update_work_group(
                WorkGroup=self.name,
                Description=self.description,
                ConfigurationUpdates={"ResultConfigurationUpdates": self._result(), **self._rules()},
            )

    def delete(self, aws: Session, id: str) -> None:
        """Delete it with its history; results stay where they are."""
        with aws.gone_is_fine():
            aws.client("athena").delete_work_group(WorkGroup=id, RecursiveDeleteOption=True)

    def _result(self) -> dict[str, Any]:
        encryption = {"EncryptionOption": "SSE_KMS", "KmsKey": self.key} if self.key else {"EncryptionOption": "SSE_S3"}
        return {"OutputLocation": self.output_location, "EncryptionConfiguration": encryption}

    def _rules(self) -> dict[str, Any]:
        limit = {} if self.scan_limit is None else {"BytesScannedCutoffPerQuery": self.scan_limit}
        return {"EnforceWorkGroupConfiguration": True, **limit}


def _arn(aws: Session, name: str) -> str:
    return f"arn:{aws.partition}:athena:{aws.region}:{aws.account}:workgroup/{name}"
