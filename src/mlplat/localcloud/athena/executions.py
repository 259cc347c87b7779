"""StartQueryExecution and its siblings: the life of a query. `engine` answers it, in a child process.

Prepared statements and named queries are moto's.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from mlplat.localcloud.access import forwarding
from mlplat.localcloud.athena.work_groups import WorkGroups, invalid
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.supervisor import Child

PACKAGES = str(Path(__file__).parents[3])
"""Where the engine finds mlplat: it is the daemon's own."""

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
PAGE = 1000
"""Rows of GetQueryResults at most, the header included."""


class QueryExecutions:
    """The queries of one region."""

    service = "athena"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._queries = cloud.store("query_executions")
        self._running: dict[str, Child] = {}

    def start_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a query. The same ClientRequestToken gives the same query again."""
        token = request.get("ClientRequestToken")
        group = self._work_group(request.get("WorkGroup", "primary"))
        with self._cloud.lock:
            for each in self._queries.values():
                if token and each["Token"] == token:
                    if each["Query"] != request["QueryString"]:
                        raise invalid("Idempotent parameters do not match")
                    return {"QueryExecutionId": each["QueryExecutionId"]}
            query = self._record(request, group)
            self._queries[query["QueryExecutionId"]] = query
        Thread(target=self._run, args=(query, forwarding.environment(self._cloud)), daemon=True).start()
        return {"QueryExecutionId": query["QueryExecutionId"]}

    def get_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that is known of a query."""
        with self._cloud.lock:
            return {"QueryExecution": _shown(self._find(request))}

    def batch_get_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Several at once."""
        with self._cloud.lock:
            ids = request["QueryExecutionIds"]
            missing = [{"QueryExecutionId": id, "ErrorCode": "NotFound"} for id in ids if id not in self._queries]
            found = [_shown(self._queries[id]) for id in ids if id in self._queries]
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def list_query_executions(self, request: dict[str, Any]) -> dict[str, Any]:
        """The queries of a work group, the newest first."""
        group, after = request.get("WorkGroup", "primary"), int(request.get("NextToken") or 0)
        limit = request.get("MaxResults", 50)
        with self._cloud.lock:
            ids = [id for id, each in reversed(self._queries.items()) if each["WorkGroup"] == group]
        more = {"NextToken": str(after + limit)} if len(ids) > after + limit else {}
        return {"QueryExecutionIds": ids[after : after + limit], **more}

    def stop_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Cancel a query; one that has ended stays as it is."""
        with self._cloud.lock:
            query = self._find(request)
            if query["Status"]["State"] not in ENDED:
                self._end(query, "CANCELLED", "Query cancelled by user")
                child = self._running.get(query["QueryExecutionId"])
                if child is not None:
                    child.kill()
        return {}

    def get_query_results(self, request: dict[str, Any]) -> dict[str, Any]:
        """Rows of the result; those of a SELECT begin with the names of the columns."""
        with self._cloud.lock:
            query = copy.deepcopy(self._find(request))
        state = query["Status"]["State"]
        if state != "SUCCEEDED":
            raise invalid(f"Query has not yet finished. Current state: {state}" if state not in ENDED else _why(query))
        start, limit = int(request.get("NextToken") or 0), request.get("MaxResults", PAGE)
        rows = self._rows(query)
        page = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in rows]
        more = {"NextToken": str(start + limit)} if len(rows) > start + limit else {}
        columns = query["Columns"] or []
        result = {"Rows": page[start : start + limit], "ResultSetMetadata": {"ColumnInfo": columns}}
        return {"UpdateCount": 0, "ResultSet": result, **more}

    def _rows(self, query: Mapping[str, Any]) -> list[list[str | None]]:
        if query["Columns"] is None:
            return []
        location = query["ResultConfiguration"]["OutputLocation"]
        bucket, _, key = location.removeprefix("s3://").partition("/")
        body = self._cloud.aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        return [[value or None for value in row] for row in csv.reader(io.StringIO(body))]

    def _work_group(self, name: str) -> Any:
        group = WorkGroups(self._cloud).find(name)
        if group.state == "DISABLED":
            raise invalid(f"WorkGroup {name} is disabled.")
        return group

    def _record(self, request: Mapping[str, Any], group: Any) -> dict[str, Any]:
        id = str(uuid.uuid4())
        configuration = _result_configuration(request, group)
        location = configuration["OutputLocation"].rstrip("/")
        return {
            "QueryExecutionId": id,
            "Token": request.get("ClientRequestToken"),
            "Query": request["QueryString"],
            "Columns": None,
            "ResultConfiguration": {**configuration, "OutputLocation": f"{location}/{id}.csv"},
            "QueryExecutionContext": dict(request.get("QueryExecutionContext") or {}),
            "Parameters": list(request.get("ExecutionParameters") or ()),
            "Status": {"State": "QUEUED", "SubmissionDateTime": self._cloud.now()},
            "Statistics": {},
            "WorkGroup": group.name,
            "StatementType": _statement_type(request["QueryString"]),
            "EngineVersion": {
                "SelectedEngineVersion": "AUTO",
                "EffectiveEngineVersion": "Athena engine version 3",
            },
        }

    def _run(self, query: dict[str, Any], environment: dict[str, str]) -> None:
        folder = self._cloud.folder / "queries" / query["QueryExecutionId"]
        folder.mkdir(parents=True, mode=0o700)
        try:
            answer = self._answered(query, folder, environment)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        with self._cloud.lock:
            if query["Status"]["State"] in ENDED:
                return
            query["Statistics"] |= answer.get("statistics", {})
            query["Columns"] = answer.get("columns")
            if query["Columns"] is None:
                name = query["ResultConfiguration"]["OutputLocation"].removesuffix(".csv")
                query["ResultConfiguration"]["OutputLocation"] = f"{name}.txt"
            self._end(query, "FAILED" if "reason" in answer else "SUCCEEDED", answer.get("reason"))

    def _answered(self, query: dict[str, Any], folder: Any, environment: dict[str, str]) -> dict[str, Any]:
        """What the child made of the query, as who asked it: columns and statistics, or the reason why it could not."""
        asked = {
            "query": query["Query"],
            "parameters": query["Parameters"],
            "database": query["QueryExecutionContext"].get("Database", "default"),
            "output": query["ResultConfiguration"],
        }
        (folder / "query.json").write_text(json.dumps(asked))
        with self._cloud.lock:
            if query["Status"]["State"] in ENDED:
                return {}
            query["Status"]["State"] = "RUNNING"
            child = self._cloud.supervisor.spawn(
                [sys.executable, "-P", "-m", "mlplat.localcloud.athena.engine"],
                env={**environment, "HOME": str(folder), "PYTHONPATH": PACKAGES},
                cwd=folder,
                label=f"query {query['QueryExecutionId']}",
            )
            self._running[query["QueryExecutionId"]] = child
        code = child.wait()
        self._running.pop(query["QueryExecutionId"], None)
        told = folder / "answer.json"
        if not told.exists():
            return {"reason": f"INTERNAL_ERROR: the query's process ended with exit code {code}"}
        answer: dict[str, Any] = json.loads(told.read_text())
        return answer

    def _end(self, query: dict[str, Any], state: str, reason: str | None) -> None:
        status, now = query["Status"], self._cloud.now()
        status |= {"State": state, "CompletionDateTime": now}
        took = int((now - status["SubmissionDateTime"]).total_seconds() * 1000)
        query["Statistics"] |= {"TotalExecutionTimeInMillis": took, "EngineExecutionTimeInMillis": took}
        if reason:
            kind = 2 if state == "FAILED" else 1  # 1 system, 2 user, 3 other
            status["StateChangeReason"] = reason
            if state == "FAILED":
                status["AthenaError"] = {"ErrorCategory": kind, "ErrorMessage": reason, "Retryable": False}

    def _find(self, request: Mapping[str, Any]) -> dict[str, Any]:
        id = request["QueryExecutionId"]
        if id not in self._queries:
            raise invalid(f"QueryExecution {id} was not found")
        query: dict[str, Any] = self._queries[id]
        return query


def _result_configuration(request: Mapping[str, Any], group: Any) -> dict[str, Any]:
    """Where the result goes: a work group that enforces its configuration decides over the client's."""
    own = dict(group.configuration.get("ResultConfiguration") or {})
    given = dict(request.get("ResultConfiguration") or {})
    enforced = group.configuration.get("EnforceWorkGroupConfiguration") and own.get("OutputLocation")
    found: dict[str, Any] = own if enforced else {**own, **given}
    if not str(found.get("OutputLocation", "")).startswith("s3://"):
        raise invalid(
            "No output location provided. An output location is required either through the Workgroup result "
            "configuration setting or as an API input."
        )
    return found


def _statement_type(text: str) -> str:
    word = text.lstrip(" (\n\t").split(None, 1)[0].upper() if text.strip() else ""
    return (
        "DDL" if word in ("CREATE", "DROP", "ALTER", "MSCK") else "UTILITY" if word in ("SHOW", "DESCRIBE") else "DML"
    )


def _shown(query: dict[str, Any]) -> dict[str, Any]:
    hidden = ("Token", "Columns", "Parameters")
    return copy.deepcopy({key: value for key, value in query.items() if key not in hidden})


def _why(query: Mapping[str, Any]) -> str:
    state = query["Status"]["State"]
    return f"Query did not finish successfully. Final query state: {state}"
