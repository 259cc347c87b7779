"""Glue jobs. Python shell jobs run (`executors.python_shell`); Spark and Ray jobs are only kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors import python_shell
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE
from mlplat.localcloud.glue import triggers
from mlplat.localcloud.glue.errors import invalid, mismatch, not_found
from mlplat.localcloud.glue.pages import page
from mlplat.localcloud.glue.tags import are_on, tag

Record = dict[str, Any]

JOBS, RUNS = "glue_jobs", "glue_job_runs"
KINDS = ("pythonshell", "glueetl", "gluestreaming", "glueray")
SHELL_CAPACITIES = (0.0625, 1.0)
"""Data processing units of a Python shell job. Source: API reference, Job."""
SHELL_VERSIONS = ("3", "3.6", "3.9")
TIMEOUT = 2880
"""Minutes, where nothing is said. Source: API reference, Job."""
UNDER_WAY = frozenset({"STARTING", "RUNNING", "STOPPING", "WAITING"})


class Jobs:
    """The operations on jobs and their runs."""

    service = "glue"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs, self._runs = cloud.store(JOBS), cloud.store(RUNS)

    def create_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a job; the same again is no error, another of the same name is."""
        name = request["Name"]
        given = {key: each for key, each in request.items() if key not in ("Name", "Tags")}
        check(given)
        with self._cloud.lock:
            if name in self._jobs:
                if self._jobs[name]["Given"] != given:
                    raise mismatch("Job", name)
                return {"Name": name}
            now = self._cloud.now()
            self._jobs[name] = record(name, given) | {"CreatedOn": now, "LastModifiedOn": now}
            tag(self._cloud, self._arn(name), request.get("Tags"))
        return {"Name": name}

    def update_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Replace a job's definition: what the update doesn't say is as if it had never been said (API reference)."""
        given = request["JobUpdate"]
        check(given)
        with self._cloud.lock:
            found = self._find(request["JobName"])
            times = {"CreatedOn": found["CreatedOn"], "LastModifiedOn": self._cloud.now()}
            self._jobs[request["JobName"]] = record(request["JobName"], given) | times
        return {"JobName": request["JobName"]}

    def get_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """One job."""
        with self._cloud.lock:
            return {"Job": dict(self._find(request["JobName"]))}

    def get_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """All jobs."""
        with self._cloud.lock:
            found, token = page(list(self._jobs.values()), request)
        return {"Jobs": found, "NextToken": token}

    def list_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Their names, of those with the tags."""
        with self._cloud.lock:
            names = [name for name in self._jobs if are_on(self._cloud, self._arn(name), request.get("Tags"))]
        found, token = page(names, request)
        return {"JobNames": found, "NextToken": token}

    def batch_get_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Several jobs, and the names of those that aren't there."""
        with self._cloud.lock:
            found = [dict(self._jobs[name]) for name in request["JobNames"] if name in self._jobs]
        missing = [name for name in request["JobNames"] if name not in self._jobs]
        return {"Jobs": found, "JobsNotFound": missing}

    def delete_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete a job with its runs; one that isn't there is no error (API reference)."""
        name = request["JobName"]
        with self._cloud.lock:
            if self._jobs.pop(name, None) is not None:
                self._cloud.tags.pop(self._arn(name), None)
                for id in [id for id, each in self._runs.items() if each["JobName"] == name]:
                    del self._runs[id]
        return {"JobName": name}

    def start_job_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a run, with the job's arguments and those that are given now."""
        with self._cloud.lock:
            job = self._find(request["JobName"])
            if job["Command"]["Name"] != "pythonshell":
                raise invalid(
                    f"The local cloud does not run Spark or Ray: job {job['Name']} is a {job['Command']['Name']} job. "
                    "It runs pythonshell jobs."
                )
            running = [each for each in self._of(job["Name"]) if each["JobRunState"] in UNDER_WAY]
            if len(running) >= job["ExecutionProperty"]["MaxConcurrentRuns"]:
                raise AwsError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
            run = self._run(job, request)
            self._begin(job, run)
        return {"JobRunId": run["Id"]}

    def get_job_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """One run."""
        with self._cloud.lock:
            self._find(request["JobName"])
            run = self._runs.get(request["RunId"])
            if run is None or run["JobName"] != request["JobName"]:
                raise not_found(f"Job run {request['RunId']} not found.")
            return {"JobRun": dict(run)}

    def get_job_runs(self, request: dict[str, Any]) -> dict[str, Any]:
        """The runs of a job, the newest first."""
        with self._cloud.lock:
            self._find(request["JobName"])
            runs = [dict(each) for each in reversed(self._of(request["JobName"]))]
        found, token = page(runs, request)
        return {"JobRuns": found, "NextToken": token}

    def batch_stop_job_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask runs to end; what can't be asked is in the answer (its codes are not verified)."""
        name, done, errors = request["JobName"], list[Record](), list[Record]()
        with self._cloud.lock:
            self._find(name)
            for id in request["JobRunIds"]:
                run, process = self._runs.get(id), python_shell.running(self._cloud).get(id)
                about = {"JobName": name, "JobRunId": id}
                if run is None or run["JobName"] != name:
                    errors.append(about | _detail("EntityNotFoundException", f"Job run {id} not found."))
                elif run["JobRunState"] not in UNDER_WAY or process is None:
                    errors.append(about | _detail("IllegalStateException", f"Job run {id} is {run['JobRunState']}."))
                else:
                    process.stop()
                    done.append(about)
        return {"SuccessfulSubmissions": done, "Errors": errors}

    def resume(self) -> None:
        """After a restart: runs that were under way have failed."""
        with self._cloud.lock:
            for run in self._runs.values():
                if run["JobRunState"] in UNDER_WAY:
                    now = self._cloud.now()
                    run |= {"JobRunState": "FAILED", "ErrorMessage": ENDED_MEANWHILE}
                    run |= {"CompletedOn": now, "LastModifiedOn": now}

    def _begin(self, job: Record, run: Record) -> None:
        self._runs[run["Id"]] = run
        python_shell.PythonShellRun(self._cloud, job, run, lambda: self._ended(job, run)).start()

    def _ended(self, job: Record, run: Record) -> None:
        """Again, as often as MaxRetries says; then whoever waited for the job goes on."""
        failed = run["JobRunState"] in ("FAILED", "TIMEOUT")
        with self._cloud.lock:
            if failed and run["Attempt"] < job.get("MaxRetries", 0) and job["Name"] in self._jobs:
                attempt = run["Attempt"] + 1
                base = run["Id"].partition("_attempt_")[0]
                again = self._run(job, run) | {"Id": f"{base}_attempt_{attempt}", "Attempt": attempt}
                self._begin(job, again | {"PreviousRunId": run["Id"]})
                return
        triggers.job_ended(self._cloud, run["JobName"], run["JobRunState"])

    def _run(self, job: Record, request: Mapping[str, Any]) -> Record:
        now = self._cloud.now()
        arguments = job.get("DefaultArguments", {}) | request.get("Arguments", {})
        kept = ("MaxCapacity", "Timeout", "GlueVersion", "NotificationProperty", "SecurityConfiguration")
        return {name: request.get(name, job.get(name)) for name in kept} | {
            "Id": f"jr_{secrets.token_hex(32)}",
            "Attempt": 0,
            "PreviousRunId": request.get("JobRunId"),
            "TriggerName": request.get("TriggerName"),
            "JobName": job["Name"],
            "StartedOn": now,
            "LastModifiedOn": now,
            "JobRunState": "STARTING",
            "Arguments": arguments | job.get("NonOverridableArguments", {}),
            "PredecessorRuns": [],
            "AllocatedCapacity": 0,
            "ExecutionTime": 0,
            "LogGroupName": python_shell.LOG_GROUP,
        }  # fmt: skip

    def _of(self, name: str) -> list[Record]:
        return [each for each in self._runs.values() if each["JobName"] == name]

    def _find(self, name: str) -> Record:
        if name not in self._jobs:
            raise not_found(f"Job {name} not found.")  # wording not verified
        found: Record = self._jobs[name]
        return found

    def _arn(self, name: str) -> str:
        return self._cloud.arn(f"job/{name}", "glue")


def record(name: str, given: Mapping[str, Any]) -> Record:
    """A job in the shape of GetJob; `Given` is what it was asked for."""
    shell = given["Command"]["Name"] == "pythonshell"
    capacity = {"MaxCapacity": 0.0625, "AllocatedCapacity": 0} if shell else {"AllocatedCapacity": 10}
    if "MaxCapacity" in given and not shell:
        capacity = {"AllocatedCapacity": int(given["MaxCapacity"])}
    defaults: Record = {"ExecutionProperty": {"MaxConcurrentRuns": 1}, "MaxRetries": 0, "Timeout": TIMEOUT}
    return defaults | capacity | dict(given) | {"Name": name, "Given": dict(given)}


def started_by_trigger(cloud: Cloud, action: Mapping[str, Any], trigger: str) -> None:
    """Start a run for a trigger. Don't hold the cloud's lock."""
    request = {"JobName": action["JobName"], "Arguments": action.get("Arguments", {}), "TriggerName": trigger}
    request |= {name: action[name] for name in ("Timeout",) if name in action}
    Jobs(cloud).start_job_run(request)


def check(given: Mapping[str, Any]) -> None:
    """Refuse what Glue refuses of a definition. Source: API reference, CreateJob and Job; wordings are not verified."""
    command = given.get("Command") or {}
    if not given.get("Role"):
        raise invalid("Role should not be null or empty.")
    if command.get("Name") not in KINDS:
        raise invalid(f"Invalid command name: {command.get('Name')}. It must be one of {', '.join(KINDS)}.")
    if "MaxCapacity" in given and ("WorkerType" in given or "NumberOfWorkers" in given):
        raise invalid("Please set only Worker Type and Number of Workers or Max Capacity.")
    if command["Name"] == "pythonshell":
        _check_shell(given, command)


def _check_shell(given: Mapping[str, Any], command: Mapping[str, Any]) -> None:
    if given.get("MaxCapacity", SHELL_CAPACITIES[0]) not in SHELL_CAPACITIES:
        raise invalid("The MaxCapacity of a pythonshell job must be 0.0625 or 1.")
    if "WorkerType" in given or "NumberOfWorkers" in given:
        raise invalid("Worker type and number of workers are not supported for pythonshell jobs.")
    if command.get("PythonVersion", "3") not in SHELL_VERSIONS:
        raise invalid(f"Unsupported Python version {command['PythonVersion']} for pythonshell jobs.")
    if not str(command.get("ScriptLocation", "")).startswith("s3://"):
        raise invalid("The ScriptLocation of a job must be a path on S3.")


def _detail(code: str, message: str) -> Record:
    return {"ErrorDetail": {"ErrorCode": code, "ErrorMessage": message}}
