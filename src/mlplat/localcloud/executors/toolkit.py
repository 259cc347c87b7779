"""What AWS's training toolkit does in a framework container, for classic script mode: runs inside the job.

It reads `<base>/input/config/*.json`, sets the SM_* environment, runs the entry point with the hyperparameters as
arguments and, when that fails, writes `<base>/output/failure`. Started as a plain file, with the standard library
only and without site packages, so that it costs a job 30 ms. Source: aws/sagemaker-training-toolkit, `environment.py`,
`mapping.py`, `process.py`, `errors.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

OWN_HYPERPARAMETERS = frozenset(
    {
        "sagemaker_program", "sagemaker_submit_directory", "sagemaker_enable_cloudwatch_metrics", "sagemaker_region",
        "sagemaker_container_log_level", "sagemaker_job_name", "default_user_module_name", "_tuning_objective_metric",
        "sagemaker_s3_output",
    }
)  # fmt: skip
"""Hyperparameters that are meant for the toolkit; others that begin with `sagemaker_` are the framework's."""

ERROR = re.compile(r"[A-Z]\w+Error\b|Exception|Invalid requirement|mpirun\.real|ORTE")
"""Where a failing script's message begins: the toolkit lists the built-in exceptions, all of which match this."""

MOST_LINES = 200
"""Lines of an error that are kept; FailureReason shows 1,024 characters of them."""

SIGKILLED = 137

SILENT, LATEST = 5.0, 60.0
"""Seconds without a line after which nothing more is to come of a script that has ended; seconds after it at most."""


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Hyperparameters as values: JSON where it is JSON, the text itself where it isn't."""
    return {name: _decoded(value) for name, value in hyperparameters.items()}


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def split(hyperparameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the script's own, the toolkit's and the framework's)."""
    ours = {k for k in hyperparameters if k in OWN_HYPERPARAMETERS or k.startswith("sagemaker_")}
    return (
        {k: v for k, v in hyperparameters.items() if k not in ours},
        {k: v for k, v in hyperparameters.items() if k in ours},
    )


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value` for each, sorted by name; `-n value` for one-letter names."""
    pairs = sorted(hyperparameters.items())
    return [part for name, value in pairs for part in (("--" if len(name) > 1 else "-") + name, _argument(value))]


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={each}" for key, each in sorted(value.items()))
    return "" if value is None else str(value)


def in_environment(values: Mapping[str, Any]) -> dict[str, str]:
    """`SM_<NAME>`: text as it is, everything else as compact sorted JSON."""
    return {f"SM_{name.upper()}": _variable(value) for name, value in values.items()}


def _variable(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


class Training:
    """One job as the toolkit sees it: the configuration under `base`, normally `/opt/ml`."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        self.base, self.code = base, base / "code"
        self.resources = self._read("resourceconfig")
        self.inputs = self._read("inputdataconfig")
        self.user, self.framework = split(decoded(self._read("hyperparameters")))
        self.program = str(environ.get("SAGEMAKER_PROGRAM") or self.framework.get("sagemaker_program") or "")
        self.job_name = environ.get("TRAINING_JOB_NAME", "")
        self.region = str(self.framework.get("sagemaker_region") or environ.get("AWS_REGION", ""))

    def _read(self, name: str) -> dict[str, Any]:
        found = json.loads((self.base / "input" / "config" / f"{name}.json").read_text())
        return dict(found)

    @property
    def channels(self) -> dict[str, str]:
        """The folder of each channel."""
        return {name: str(self.base / "input" / "data" / name) for name in self.inputs}

    def environment(self) -> dict[str, str]:
        """The SM_* variables, and the few others that the toolkit sets."""
        facts = self._facts()
        values = {name: facts[name] for name in EXPORTED}
        values |= {
            "hps": self.user,
            "channels": sorted(self.channels),
            "framework_params": facts["additional_framework_parameters"],
            "training_env": facts,
            "user_args": arguments(self.user),
        }
        values |= {f"channel_{name}": folder for name, folder in self.channels.items()}
        values |= {f"hp_{name}": value for name, value in self.user.items()}
        return in_environment(values) | {
            "CURRENT_HOST": self.resources["current_host"],
            "SAGEMAKER_JOB_NAME": str(self.framework.get("sagemaker_job_name", "")),
            "SAGEMAKER_REGION": self.region,
        }

    def _facts(self) -> dict[str, Any]:
        """What SM_TRAINING_ENV holds."""
        groups = {each["instance_group_name"]: each for each in self.resources.get("instance_groups", ())}
        group = self.resources.get("current_group_name", "homogeneousCluster")
        hosts = list(self.resources["hosts"])
        extra = {k: v for k, v in self.framework.items() if k not in OWN_HYPERPARAMETERS}
        return {
            "additional_framework_parameters": extra,
            "channel_input_dirs": self.channels,
            "current_host": self.resources["current_host"],
            "current_instance_group": group,
            "current_instance_group_hosts": groups.get(group, {}).get("hosts", []),
            "current_instance_type": self.resources.get("current_instance_type", "local"),
            "distribution_hosts": [],
            "distribution_instance_groups": [],
            "framework_module": None,
            "hosts": hosts,
            "hyperparameters": self.user,
            "input_config_dir": str(self.base / "input" / "config"),
            "input_data_config": self.inputs,
            "input_dir": str(self.base / "input"),
            "instance_groups": list(groups),
            "instance_groups_dict": groups,
            "is_hetero": len(groups) > 1,
            "is_master": self.resources["current_host"] == hosts[0],
            "job_name": self.job_name,
            "log_level": self.framework.get("sagemaker_container_log_level", 20),
            "master_hostname": hosts[0],
            "model_dir": str(self.base / "model"),
            "module_dir": str(self.framework.get("sagemaker_submit_directory", self.code)),
            "module_name": self.program.removesuffix(".py"),
            "network_interface_name": self.resources.get("network_interface_name", "eth0"),
            "num_cpus": os.cpu_count() or 1,
            "num_gpus": _gpus(),
            "num_neurons": 0,
            "output_data_dir": str(self.base / "output" / "data"),
            "output_dir": str(self.base / "output"),
            "output_intermediate_dir": str(self.base / "output" / "intermediate"),
            "resource_config": self.resources,
            "user_entry_point": self.program,
        }

    def command(self) -> list[str]:
        """How the entry point is run: a package as a module, a script with this Python, anything else as it is."""
        given = arguments(self.user)
        if self.program.endswith(".sh"):
            return ["/bin/sh", self.program, *given]
        if (self.code / "setup.py").exists():
            return [sys.executable, "-m", self.program.removesuffix(".py"), *given]
        if self.program.endswith(".py"):
            return [sys.executable, self.program, *given]
        return [f"./{self.program}", *given]


EXPORTED = (
    "hosts", "network_interface_name", "user_entry_point", "resource_config", "input_data_config", "output_data_dir",
    "current_host", "current_instance_type", "current_instance_group", "current_instance_group_hosts",
    "instance_groups", "instance_groups_dict", "distribution_instance_groups", "is_hetero", "module_name", "log_level",
    "framework_module", "input_dir", "input_config_dir", "output_dir", "num_cpus", "num_gpus", "num_neurons",
    "model_dir", "module_dir", "output_intermediate_dir",
)  # fmt: skip


def _gpus() -> int:
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


class Failed(Exception):
    """A process ended badly; `str()` is what the toolkit writes to the failure file."""

    def __init__(self, kind: str, code: int, message: str, command: Iterable[str]) -> None:
        extra = '\nExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' if code == SIGKILLED else ""
        text = f'{kind}:\nExitCode {code}\nErrorMessage "{message}"{extra}\nCommand "{" ".join(command)}"'
        super().__init__(text)


def say(line: str) -> None:
    """A line to the job's log, whole: two streams are written to it at once."""
    with _STDOUT:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


_STDOUT = threading.Lock()


class Echo(threading.Thread):
    """Passes a stream of the script on, line by line, and keeps what follows the first error in it."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._source, self.kept = source, list[str]()
        self._taken = self._passed_on = 0
        self.start()

    def run(self) -> None:
        """Read to the end of the stream."""
        for raw in self._source:
            self._taken += 1
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            say(line)
            if len(self.kept) < MOST_LINES and (self.kept or ERROR.search(line)):
                self.kept.append(line.strip(" :"))
            self._passed_on += 1

    def finish(self) -> None:
        """Wait for the last lines of a script that has ended; a grandchild may hold the stream open for ever.

        The log takes its time when much is printed: a line that is on its way is waited for, `LATEST` seconds in all.
        """
        deadline, seen = time.monotonic() + LATEST, -1
        while self.is_alive() and time.monotonic() < deadline:
            if self._taken == self._passed_on == seen:
                return
            seen = self._passed_on
            self.join(timeout=SILENT)


def run(command: list[str], environment: Mapping[str, str], cwd: Path, kind: str) -> None:
    """Run `command`, passing on its output. Raises Failed, named `kind`, when it ends badly.

    SIGTERM comes to the whole process group: the script may save its model, and this process waits for it.
    """
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    process = subprocess.Popen(
        command, env=dict(environment), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    if asked.is_set():  # it came while there was no script yet
        process.terminate()
    assert process.stdout and process.stderr
    echoes = [Echo(process.stdout), Echo(process.stderr)]
    code = process.wait()
    for echo in echoes:
        echo.finish()
    if code:
        lines = dict.fromkeys(line for echo in echoes for line in echo.kept)
        raise Failed(kind, 128 - code if code < 0 else code, "\n ".join(lines), command)


def install_requirements(training: Training, environment: Mapping[str, str]) -> None:
    """Install what requirements.txt asks for and this Python lacks, into a folder that only this job sees.

    The container has an environment of its own to install into; here it is the user's, which no job may change.
    """
    if not (training.code / "requirements.txt").exists():
        return
    say("Installing dependencies from requirements.txt")
    plain = {k: v for k, v in environment.items() if k != "PIP_TARGET"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    report = training.base / "output" / "pip-report.json"
    ask = [*pip, "--dry-run", "--quiet", "--report", str(report), "-r", "requirements.txt"]
    run(ask, plain, training.code, "InstallRequirementsError")
    missing = [each["download_info"]["url"] for each in json.loads(report.read_text())["install"]]
    report.unlink()
    if missing:
        run([*pip, "--no-deps", *missing], environment, training.code, "InstallRequirementsError")


def train(base: Path) -> int:
    """Run the job's script; the exit code of the container."""
    training = Training(base, os.environ)
    environment = {**os.environ, **training.environment()}
    paths = [str(training.code), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    try:
        install_requirements(training, environment)
        command = training.command()
        say(f"Invoking script with the following command:\n\n{' '.join(command)}\n")
        run(command, environment, training.code, "ExecuteUserScriptError")
    except (Failed, OSError) as error:
        failure = base / "output" / "failure"
        if not failure.exists():
            failure.write_text(str(error))
        say(f"Reporting training FAILURE\n{error}")
        return 1
    (base / "output" / "success").touch()
    say("Reporting training SUCCESS")
    return 0


if __name__ == "__main__":
    sys.exit(train(Path(sys.argv[1])))
