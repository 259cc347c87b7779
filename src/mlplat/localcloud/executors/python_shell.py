"""One run of a Glue Python shell job: its script from S3, run by this Python, its output in CloudWatch Logs.

Developer guide, "Configuring job properties for Python shell jobs in AWS Glue". Modules that the job asks for
(--additional-python-modules) are not installed: it has what the local cloud has.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlplat.localcloud import trust
from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import bus
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.s3_data import Place
from mlplat.localcloud.executors.workspace import Workspace
from mlplat.localcloud.supervisor import Child

log = logging.getLogger(__name__)

SERVICE = "glue.amazonaws.com"
SESSION = "GlueJobRunnerSession"
LOG_GROUP = "/aws-glue/python-jobs"
OPTIONS = Path(__file__).with_name("glue_options.py")
"""What `awsglue.utils` is here."""
GRACE = 10.0
"""Seconds from being asked to end to being ended."""
ENDS = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"})

_RUNNING: weakref.WeakKeyDictionary[Cloud, dict[str, PythonShellRun]] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def running(cloud: Cloud) -> dict[str, PythonShellRun]:
    """The runs of a region that run now, by id."""
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(cloud, {})


class RunFailed(Exception):
    """The run has failed; the message is its ErrorMessage."""


class PythonShellRun:
    """The execution of one run; `ended` is called once its record has come to its end."""

    def __init__(self, cloud: Cloud, job: dict[str, Any], run: dict[str, Any], ended: Callable[[], None]) -> None:
        self._origin, self._job, self._run, self._ended = cloud, job, run, ended
        self._role = job["Role"]
        self._cloud = acting(cloud, self._role_arn(), SESSION)
        self._workspace = Workspace(self._cloud, cloud.folder / "glue" / cloud.region / run["Id"])
        self._stopping = threading.Event()
        self._child: Child | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        running(self._origin)[self._run["Id"]] = self
        threading.Thread(target=self._go, name=self._run["Id"], daemon=True).start()

    def stop(self) -> None:
        """Ask the run to end; returns at once."""
        self._become("STOPPING")
        self._stopping.set()
        if self._child is not None:
            self._child.terminate()

    def _go(self) -> None:
        state, members = "FAILED", dict[str, Any]()
        try:
            state = self._steps()
        except RunFailed as error:
            members = {"ErrorMessage": str(error)}
        except Exception as error:
            log.exception("job run %s", self._run["Id"])
            members = {"ErrorMessage": f"The local cloud could not run the job: {error!r}"}
        if state == "TIMEOUT":
            members = {"ErrorMessage": f"JobRun is timed out, Timeout is {self._run['Timeout']} minutes"}
        self._workspace.remove()
        with self._origin.lock:
            running(self._origin).pop(self._run["Id"], None)
            now = self._origin.now()
            seconds = int((now - self._run["StartedOn"]).total_seconds())
            self._run |= members | {"CompletedOn": now, "ExecutionTime": seconds}
            self._become(state)
        self._ended()

    def _become(self, state: str) -> None:
        with self._origin.lock:
            self._run |= {"JobRunState": state, "LastModifiedOn": self._origin.now()}
        if state in ENDS and "moto.events.models" in sys.modules:
            detail = {
                "jobName": self._run["JobName"],
                "severity": "INFO" if state in ("SUCCEEDED", "STOPPED") else "ERROR",
                "state": state,
                "jobRunId": self._run["Id"],
                "message": self._run.get("ErrorMessage", "Job run succeeded" if state == "SUCCEEDED" else ""),
            }
            self._origin.later(lambda: bus.put(self._origin, "aws.glue", "Glue Job State Change", [], detail), 0)

    def _steps(self) -> str:
        """Everything up to the end; the state."""
        source = self._origin.arn(f"job/{self._job['Name']}", "glue")
        if not trust.lets_in(self._origin, self._role_arn(), SERVICE, source):
            raise RunFailed(f"Role {self._role_arn()} should be given assume role permissions for Glue Service.")
        self._workspace.make()
        script = self._bring(self._job["Command"]["ScriptLocation"], "script")
        libraries = self._libraries()
        if self._stopping.is_set():
            return "STOPPED"
        self._become("RUNNING")
        return self._run_script(script, libraries)

    def _run_script(self, script: Path, libraries: list[str]) -> str:
        output = ContainerLog(self._cloud, f"{LOG_GROUP}/output", self._run["Id"])
        errors = self._workspace.root / "stderr"
        try:
            argv = [sys.executable, str(script), *self._arguments()]
            self._child = child = self._cloud.supervisor.spawn(
                ["/bin/sh", "-c", 'exec "$@" 2>"$0"', str(errors), *argv],
                env=self._environment(libraries),
                cwd=self._workspace.root,
                on_line=output.line,
                label=f"glue job {self._job['Name']}",
            )
            code = self._waited(child)
        finally:
            output.close()
        last = self._tell_errors(errors)
        if self._stopping.is_set():
            return "STOPPED"
        if code is None:
            return "TIMEOUT"
        if code != 0:
            raise RunFailed(child.verdict.text if child.verdict else reason(last, code))
        return "SUCCEEDED"

    def _waited(self, child: Child) -> int | None:
        """The exit code; None after the timeout."""
        if self._stopping.is_set():
            child.terminate()
        left = 60.0 * float(self._run["Timeout"] or 0)
        code = None
        while left > 0 and (code := child.wait(min(left, 0.5))) is None and not self._stopping.is_set():
            left -= 0.5
        if code is None:
            child.stop(GRACE)
        return code

    def _tell_errors(self, file: Path) -> str:
        """What the script has written to its standard error, into its log; the last line."""
        last = ""
        if not file.is_file() or not file.stat().st_size:
            return last
        told = ContainerLog(self._cloud, f"{LOG_GROUP}/error", self._run["Id"])
        with file.open(errors="replace") as lines:
            for line in lines:
                told.line(line.rstrip("\n"))
                last = line.strip() or last
        told.close()
        return last

    def _arguments(self) -> list[str]:
        """sys.argv after the script, as scripts have printed it: each argument as `--key value`, and Glue's own two."""
        command = self._job["Command"]
        own = {"--scriptLocation": command["ScriptLocation"], "--python-version": command.get("PythonVersion", "3")}
        given = {**self._run["Arguments"], **own}
        return [part for name, value in given.items() for part in ((name, value) if value != "" else (name,))]

    def _libraries(self) -> list[str]:
        """--extra-py-files: modules, and archives that Python imports from."""
        uris = [uri for uri in self._run["Arguments"].get("--extra-py-files", "").split(",") if uri.strip()]
        folder = "libraries"
        own = self._workspace.root / folder / "awsglue"
        own.mkdir(parents=True)
        (own / "__init__.py").touch()
        shutil.copy(OPTIONS, own / "utils.py")
        found = [self._bring(uri.strip(), folder) for uri in uris]
        return [str(self._workspace.root / folder), *(str(each) for each in found if each.suffix != ".py")]

    def _bring(self, uri: str, folder: str) -> Path:
        """An object of S3 as a file, in the role's name."""
        from botocore.exceptions import ClientError

        place = Place.parse(uri)
        target = self._workspace.root / folder / place.key.rpartition("/")[2]
        target.parent.mkdir(exist_ok=True)
        try:
            body = self._cloud.aws("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
        except ClientError as error:  # wording not verified
            raise RunFailed(f"Could not download {uri}: {error.response['Error']['Message']}") from error
        target.write_bytes(body.read())
        return target

    def _environment(self, libraries: list[str]) -> dict[str, str]:
        made = self._workspace.environment({}, {}, isolated=False)
        return made | {"PYTHONPATH": os.pathsep.join([*libraries, made["PYTHONPATH"]])}

    def _role_arn(self) -> str:
        """A job may name its role."""
        if self._role.startswith("arn:"):
            return str(self._role)
        return f"arn:{self._origin.partition}:iam::{self._origin.account}:role/{self._role}"


def reason(last: str, code: int) -> str:
    """ErrorMessage of a script that failed: the last line of its traceback."""
    return last if re.match(r"[\w.]+(:|$)", last) else f"Command failed with exit code {code}"
