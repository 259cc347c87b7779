"""Who may do what with a feature group: roles for producers, consumers and analysts, each for one group alone.

A producer writes and deletes records, a consumer reads them online, an analyst asks the offline store through a work
group of the group's own, so that nobody else reads the results. Sources: developer guide, Feature Store, "Accessing
data in your online store" (BatchWriteRecord needs PutRecord too, and all need kms:Decrypt); Athena user guide,
"Fine-grained access to databases and tables" and "Control access to Amazon S3 from Athena".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlplat.resources import AthenaWorkGroup, Role
from mlplat.resources.base import Declared, Ref
from mlplat.templates.data import catalog_name
from mlplat.templates.feature_monitoring import OWN
from mlplat.templates.permissions import DATA, KEY, Statement, allow, bucket, document
from mlplat.templates.place import Place
from mlplat.templates.versions import FEATURE_STORE as NAME
from mlplat.templates.versions import PREFIX, group_address, versioned

if TYPE_CHECKING:
    from mlplat.settings import FeatureGroup, Settings

WRITE = ["sagemaker:BatchWriteRecord", "sagemaker:DeleteRecord", "sagemaker:PutRecord"]
READ = ["sagemaker:BatchGetRecord", "sagemaker:GetRecord"]
SEE = ["sagemaker:DescribeFeatureGroup", "sagemaker:DescribeFeatureMetadata"]
ASK = [
    "athena:BatchGetQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults",
    "athena:GetQueryResultsStream", "athena:GetWorkGroup", "athena:ListQueryExecutions", "athena:StartQueryExecution",
    "athena:StopQueryExecution",
]  # fmt: skip
TABLES = [
    "glue:BatchGetPartition", "glue:GetDatabase", "glue:GetPartition", "glue:GetPartitions", "glue:GetTable",
]  # fmt: skip
RESULTS = "temp/athena"
"""Where in the experiments bucket answers are, until they expire."""
SECONDS, MILLISECONDS = "?" * 10, "?" * 13
"""What an earlier version's folder and its table end in: when it was made."""


def access(settings: Settings, place: Place) -> Iterator[Declared]:
    """The roles of every group that says who has access, as far as it has such a store."""
    for name, group in settings.feature_groups.items():
        if group.access is not None:
            yield from _Access(place, name, group).declared()


@dataclass(frozen=True)
class _Access:
    """One group. Earlier versions count as long as readers follow them."""

    place: Place
    name: str
    group: FeatureGroup

    def declared(self) -> Iterator[Declared]:
        given = self.group.access
        assert given is not None
        key = allow("UseKey", ["kms:Decrypt"], [KEY])
        producer = document(allow("WriteRecords", [*WRITE, *SEE], self._groups), self._metrics(), key)
        yield self._role("producer", given.producers, producer)
        if self.group.online:
            consumer = document(allow("ReadRecords", [*READ, *SEE], self._groups), key)
            yield self._role("consumer", given.consumers, consumer)
        if self.group.offline:
            yield Declared(self._work_group, self._queries())
            yield self._role("analyst", given.analysts, document(*self._analysis()))

    def _role(self, who: str, principals: Sequence[str], policy: Statement) -> Declared:
        """The account itself leaves it to its IAM policies who of it may assume the role."""
        account = f"arn:{self.place.partition}:iam::{self.place.account}:root"
        named = sorted(set(principals)) or [account]
        trust = {"Effect": "Allow", "Principal": {"AWS": named}, "Action": "sts:AssumeRole"}
        role = Role(
            name=self.place.name("features", self.name, who, self.place.region, limit=64),
            trust=document(trust),
            policies={who: policy},
            description=f"Feature group {self.name}: {who}",
        )
        return Declared(f"{NAME}.role.{self.name}_{who}", role)

    @property
    def _versions(self) -> list[int]:
        return sorted({self.group.version, self.group.read_version})

    @property
    def _earlier(self) -> list[str]:
        """On AWS, versions that are kept and read, but no longer declared."""
        return [self._on_aws(each) for each in self._versions if each != self.group.version]

    def _on_aws(self, version: int) -> str:
        return self.place.name(versioned(self.name, version))

    @property
    def _groups(self) -> list[str]:
        """SageMaker writes the names in its ARNs in lower case."""
        return [self.place.arn("sagemaker", f"feature-group/{self._on_aws(each).lower()}") for each in self._versions]

    def _metrics(self) -> Statement:
        """What `features ingest` publishes. PutMetricData has no resources, only a condition."""
        return allow("PublishMetrics", ["cloudwatch:PutMetricData"], ["*"], StringEquals={"cloudwatch:namespace": OWN})

    @property
    def _work_group(self) -> str:
        return f"{NAME}.athena_work_group.{self.name}_analyst"

    def _queries(self) -> AthenaWorkGroup:
        return AthenaWorkGroup(
            name=self.place.name("features", self.name, limit=128),
            output_location=Ref(f"{DATA}.bucket.experiments", "uri", f"{{}}/{self._results}/"),
            key=KEY,
            description=f"Questions of analysts to feature group {self.name}",
        )

    @property
    def _results(self) -> str:
        return f"{RESULTS}/{self.name}"

    def _analysis(self) -> Iterator[Statement]:
        """Athena reads tables and files, and writes results, in the name of who asks."""
        database = catalog_name(self.place)
        tables = [Ref(self._declared, "table", self.place.arn("glue", f"table/{database}/{{}}"))]
        patterns = [f"{each.replace('-', '_').lower()}_{MILLISECONDS}" for each in self._earlier]
        prefixes = [Ref(self._declared, "offline_prefix", "{}/*"), *(f"{each}/*" for each in self._folders)]
        processed = self.place.bucket_arn(self.place.global_name("processed"))
        files = [Ref(self._declared, "offline_prefix", f"{processed}/{{}}/*")]
        yield allow("SeeGroup", SEE, self._groups)
        yield allow("Ask", ASK, [Ref(self._work_group, "arn")])
        yield allow(
            "ReadTable",
            TABLES,
            [
                self.place.arn("glue", "catalog"),
                self.place.arn("glue", f"database/{database}"),
                *tables,
                *(self.place.arn("glue", f"table/{database}/{each}") for each in patterns),
            ],
        )
        yield allow("ReadRecords", ["s3:GetObject"], [*files, *(f"{processed}/{each}/*" for each in self._folders)])
        yield allow("ListRecords", ["s3:ListBucket"], [processed], StringLike={"s3:prefix": prefixes})
        yield from self._answers(processed)
        yield allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [KEY])

    def _answers(self, processed: str) -> Iterator[Statement]:
        results = Ref(f"{DATA}.bucket.experiments", "arn")
        parts = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        yield allow("FindBuckets", ["s3:GetBucketLocation"], [processed, results])
        yield allow("KeepAnswers", parts, bucket("experiments", f"{self._results}/"))
        listing = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
        yield allow("ListAnswers", listing, [results], StringLike={"s3:prefix": [f"{self._results}/*"]})

    @property
    def _declared(self) -> str:
        return group_address(self.name, self.group.version)

    @property
    def _folders(self) -> list[str]:
        """Where AWS keeps the files of earlier versions (developer guide, "Offline store")."""
        where = f"{PREFIX}/{self.place.account}/sagemaker/{self.place.region}/offline-store"
        return [f"{where}/{each}-{SECONDS}" for each in self._earlier]
