"""Glue jobs that run a Python script without Spark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.glue import arn_of, claim, tags_of

RUNNING = ("STARTING", "RUNNING", "WAITING")
STOPPED_AT_ONCE = 25
"""Runs that one BatchStopJobRun takes."""


@dataclass(frozen=True, kw_only=True)
class GlueJob(Resource):
    """A Python shell job: one script from S3 on a machine of Glue's.

    What AWS makes special (Glue developer guide, "Python shell jobs", and API reference):

    - UpdateJob replaces the whole definition; what it leaves out is lost.
    - MaxCapacity is 0.0625 or 1 (1 or 16 GB of memory). Python 3.9 with `library-set: analytics` brings pandas.
    - DeleteJob succeeds though runs are under way, and when there is no such job. Runs are stopped first.
    """

    kind: ClassVar[str] = "glue_job"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    role: str | Ref
    script: str | Ref
    """s3:// address."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Defaults of the script's and Glue's own arguments, each beginning with `--`."""
    capacity: float = 0.0625
    timeout_minutes: int = 60
    description: str = ""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The job by its name, which is its id."""
        glue, name = aws.client("glue"), id or self.name
        job = aws.find(lambda: glue.get_job(JobName=name)["Job"])
        if job is None:
            return None
        arn = arn_of(aws, "job", name)
        fields = {
            "name": name,
            "role": job["Role"],
            "script": job["Command"].get("ScriptLocation"),
            "arguments": job.get("DefaultArguments", {}),
            "capacity": job.get("MaxCapacity"),
            "timeout_minutes": job.get("Timeout"),
            "description": job.get("Description", ""),
        }
        return Observed(name, fields, {"name": name, "arn": arn}, tags_of(aws, arn))

    def create(self, aws: Session) -> str:
        """CreateJob with tags."""
        aws.client("glue").create_job(Name=self.name, Tags=aws.tags, **self._definition())
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The whole definition, and tags."""
        glue = aws.client("glue")
        if "tags" in changed:
            claim(aws, seen)
        if changed - {"tags"}:
            glue.update_job(JobName=self.name, JobUpdate=self._definition())

    def delete(self, aws: Session, id: str) -> None:
        """Stop its runs, wait for their end, and delete it."""
        glue = aws.client("glue")
        with aws.gone_is_fine():
            if running := _running(aws, id):
                for start in range(0, len(running), STOPPED_AT_ONCE):
                    glue.batch_stop_job_run(JobName=id, JobRunIds=running[start : start + STOPPED_AT_ONCE])
                aws.wait(f"the runs of Glue job {id} to end", lambda: _running(aws, id), lambda left: not left)
            glue.delete_job(JobName=id)

    def _definition(self) -> dict[str, Any]:
        return {
            "Description": self.description,
            "Role": self.role,
            "Command": {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": self.script},
            "DefaultArguments": dict(self.arguments),
            "MaxCapacity": self.capacity,
            "Timeout": self.timeout_minutes,
            "ExecutionProperty": {"MaxConcurrentRuns": 1},
        }


def _running(aws: Session, name: str) -> list[str]:
    runs = aws.client("glue").pages("get_job_runs", "JobRuns", JobName=name)
    return [each["Id"] for each in runs if each["JobRunState"] in (*RUNNING, "STOPPING")]
