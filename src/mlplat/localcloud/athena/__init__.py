"""Athena: queries over the Glue catalog's tables on S3, answered by DuckDB in a process of their own."""

from mlplat.localcloud.athena.executions import QueryExecutions as QueryExecutions
from mlplat.localcloud.athena.work_groups import WorkGroups as WorkGroups
