"""Databases of the Glue Data Catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.errors import ApiError
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.glue import arn_of, claim, tags_of

EVERYONE_IN_IAM = {
    "Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"},
    "Permissions": ["ALL"],
}
"""New tables are governed by IAM alone, whatever the account's Lake Formation defaults say."""


@dataclass(frozen=True, kw_only=True)
class GlueDatabase(Resource):
    """A database of the account's Data Catalog, where the offline store of feature groups registers its tables.

    What AWS makes special, by the Glue and Lake Formation developer guides:

    - Names are lower case. Athena wants `_`, not `-`, in an unquoted name.
    - UpdateDatabase replaces the whole DatabaseInput; what it leaves out is lost.
    - Where Lake Formation governs the catalog (empty CreateDatabaseDefaultPermissions), tables need grants unless
      CreateTableDefaultPermissions says IAM_ALLOWED_PRINCIPALS. Its AccessDeniedException doesn't pass by waiting.
    - DeleteDatabase succeeds with tables in it and takes them along: table definitions are data here.
    - Tags are read and written by the ARN of the database.
    """

    kind: ClassVar[str] = "glue_database"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})
    keeps_data: ClassVar[bool] = True

    description: str = ""
    location_uri: str | Ref | None = None

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The database by its name, which is its id."""
        if id not in (None, self.name):
            return replace(self, name=id).describe(aws)  # the object of a former name
        glue = aws.client("glue")
        database = aws.find(lambda: glue.get_database(Name=self.name)["Database"])
        if database is None:
            return None
        arn = arn_of(aws, "database", self.name)
        return Observed(
            id=self.name,
            fields={
                "name": self.name,
                "description": database.get("Description", ""),
                "location_uri": database.get("LocationUri"),
            },
            outputs={"name": self.name, "arn": arn},
            tags=tags_of(aws, arn),
        )

    def create(self, aws: Session) -> str:
        """CreateDatabase with tags."""
        aws.client("glue").create_database(DatabaseInput=self._input(), Tags=aws.tags)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The whole DatabaseInput, because UpdateDatabase replaces it, and tags."""
        glue = aws.client("glue")
        if "tags" in changed:
            claim(aws, seen)
        if changed - {"tags"}:
            glue.update_database(Name=self.name, DatabaseInput=self._input())

    def delete(self, aws: Session, id: str) -> None:
        """DeleteDatabase; the reconciler has asked about tables before."""
        with aws.gone_is_fine():
            aws.client("glue").delete_database(Name=id)

    def data(self, aws: Session, id: str) -> str | None:
        """The table definitions in it, counted up to a hundred."""
        names = aws.find(lambda: list(islice(_tables(aws, id), 101))) or []
        if not names:
            return None
        count = "100+" if len(names) > 100 else str(len(names))
        return f"{count} table{'s' if len(names) > 1 else ''}"

    def empty(self, aws: Session, id: str) -> None:
        """Delete the table definitions, a hundred at a time; what they describe in S3 stays."""
        while names := list(islice(_tables(aws, id), 100)):
            answer = aws.client("glue").batch_delete_table(DatabaseName=id, TablesToDelete=names)
            for error in answer.get("Errors", ()):
                _refuse(error["ErrorDetail"])

    def _input(self) -> dict[str, Any]:
        declared = {"Name": self.name, "Description": self.description, "LocationUri": self.location_uri}
        return {
            **{key: value for key, value in declared.items() if value},
            "CreateTableDefaultPermissions": [EVERYONE_IN_IAM],
        }


def _tables(aws: Session, database: str) -> Iterator[str]:
    for table in aws.client("glue").pages("get_tables", "TableList", DatabaseName=database):
        yield table["Name"]


def _refuse(detail: dict[str, str]) -> None:
    if detail.get("ErrorCode") != "EntityNotFoundException":
        raise ApiError(
            service="glue",
            operation="batch_delete_table",
            code=detail.get("ErrorCode", "Unknown"),
            reason=detail.get("ErrorMessage", "no message"),
        )
