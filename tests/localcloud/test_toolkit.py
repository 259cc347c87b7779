"""The toolkit runs as a file of its own, as it does in a job: `python -S -E toolkit.py BASE`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlplat.localcloud.executors import toolkit

HOST = {"current_host": "algo-1", "current_instance_type": "ml.m5.large", "current_group_name": "homogeneousCluster"}
RESOURCES = {
    **HOST,
    "hosts": ["algo-1"],
    "instance_groups": [
        {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
    ],
    "network_interface_name": "eth0",
}


class Job:
    def __init__(self, base: Path) -> None:
        self.base = base
        for folder in ("input/config", "input/data/train", "output/data", "model", "code"):
            (base / folder).mkdir(parents=True)

    def run(self, script: str, *, name: str = "train.py", **hyperparameters: str) -> subprocess.CompletedProcess[str]:
        config = self.base / "input/config"
        (self.base / "code" / name).write_text(script)
        (config / "resourceconfig.json").write_text(json.dumps(RESOURCES))
        (config / "inputdataconfig.json").write_text(json.dumps({"train": {"TrainingInputMode": "File"}}))
        (config / "hyperparameters.json").write_text(json.dumps({"sagemaker_program": name, **hyperparameters}))
        return subprocess.run(self.command, capture_output=True, text=True, env=self.environment, check=False)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-S", "-E", toolkit.__file__, str(self.base)]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "TRAINING_JOB_NAME": "churn-1", "AWS_REGION": "us-east-1"}

    @property
    def failure(self) -> str:
        return (self.base / "output/failure").read_text()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_hyperparameters_become_sorted_arguments():
    own, ours = toolkit.split(
        toolkit.decoded(
            {
                "lr": "0.1",
                "b": "true",
                "name": '"tree"',
                "plain": "tree",
                "layers": "[1, 2]",
                "m": '{"y": 2, "x": 1}',
                "none": "null",
                "sagemaker_program": "train.py",
                "sagemaker_mpi_enabled": "false",
                "_tuning_objective_metric": "auc",
            }
        )
    )
    assert toolkit.arguments(own) == [
        "-b", "True", "--layers", "[1, 2]", "--lr", "0.1", "-m", "x=1,y=2", "--name", "tree", "--none", "", "--plain",
        "tree",
    ]  # fmt: skip
    assert set(ours) == {"sagemaker_program", "sagemaker_mpi_enabled", "_tuning_objective_metric"}


def test_the_script_sees_the_environment_of_the_toolkit(job):
    done = job.run(
        "import json, os; json.dump(dict(os.environ), open(os.environ['SM_MODEL_DIR'] + '/seen', 'w'))",
        **{"max-depth": "3", "layers": "[2,1]", "sagemaker_region": '"eu-west-1"'},
    )
    assert done.returncode == 0, done.stdout
    seen = json.loads((job.base / "model/seen").read_text())
    base = str(job.base)
    assert seen["SM_MODEL_DIR"] == f"{base}/model"
    assert seen["SM_CHANNEL_TRAIN"] == f"{base}/input/data/train"
    assert seen["SM_CHANNELS"] == '["train"]'
    assert seen["SM_OUTPUT_DATA_DIR"] == f"{base}/output/data"
    assert seen["SM_HP_MAX-DEPTH"] == "3"
    assert seen["SM_HP_LAYERS"] == "[2,1]"
    assert json.loads(seen["SM_HPS"]) == {"max-depth": 3, "layers": [2, 1]}
    assert json.loads(seen["SM_USER_ARGS"]) == ["--layers", "[2, 1]", "--max-depth", "3"]
    assert seen["SM_HOSTS"] == '["algo-1"]'
    assert seen["SM_CURRENT_HOST"] == "algo-1"
    assert seen["SM_RESOURCE_CONFIG"] == json.dumps(RESOURCES, sort_keys=True, separators=(",", ":"))
    assert int(seen["SM_NUM_CPUS"]) == os.cpu_count()
    assert seen["SM_NETWORK_INTERFACE_NAME"] == "eth0"
    assert json.loads(seen["SM_TRAINING_ENV"])["job_name"] == "churn-1"
    assert seen["SAGEMAKER_REGION"] == "eu-west-1"
    assert (job.base / "output/success").exists()


def test_a_failing_script_leaves_the_toolkits_text(job):
    done = job.run("print('starting')\ndef fit():\n    raise ValueError('no such column: churn')\nfit()\n", lr="1")
    assert done.returncode == 1
    assert job.failure == (
        "ExecuteUserScriptError:\nExitCode 1\n"
        "ErrorMessage \"raise ValueError('no such column: churn')\n ValueError: no such column: churn\"\n"
        f'Command "{sys.executable} train.py --lr 1"'
    )
    assert "starting" in done.stdout
    assert "Traceback (most recent call last):" in done.stdout


def test_a_failure_file_of_the_scripts_own_is_kept(job):
    job.run("import os, sys; open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('mine'); sys.exit(4)")
    assert job.failure == "mine"


def test_a_killed_script_is_out_of_memory(job):
    job.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "ExitCode 137" in job.failure
    assert 'ExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' in job.failure


def test_a_shell_script_and_a_missing_one(job):
    done = job.run('echo "depth is $2"', name="train.sh", depth="7")
    assert done.returncode == 0
    assert "depth is 7" in done.stdout
    (job.base / "code/train.sh").unlink()
    assert subprocess.run(job.command, env=job.environment, capture_output=True, check=False).returncode == 1
    assert "train.sh" in job.failure


def test_requirements_that_are_there_install_nothing_and_others_fail_clearly(job):
    (job.base / "code/requirements.txt").write_text("pip\n")
    assert job.run("print('ran')").returncode == 0
    (job.base / "code/requirements.txt").write_text("./no-such-package-here\n")
    done = job.run("print('ran')")
    assert done.returncode == 1
    assert "ran" not in done.stdout.splitlines()
    assert job.failure.startswith("InstallRequirementsError:\nExitCode 1\n")
    assert "no-such-package-here" in job.failure


def test_a_script_that_is_told_to_stop_may_finish_its_work(job):
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saving'), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(30)\n"
    )
    job.run("")  # writes the configuration
    (job.base / "code/train.py").write_text(script)
    process = subprocess.Popen(
        job.command, stdout=subprocess.PIPE, text=True, env=job.environment, start_new_session=True
    )
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        pass
    os.killpg(process.pid, signal.SIGTERM)
    assert "saving" in process.communicate(timeout=10)[0]
    assert process.returncode == 0


def test_it_starts_quickly_and_loads_nothing_but_the_standard_library():
    code = f"import runpy, sys; runpy.run_path({toolkit.__file__!r}); print([m for m in sys.modules if 'mlplat' in m])"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_lines_that_are_slowly_taken_are_not_lost(monkeypatch):
    heard = []

    def slow(line):
        time.sleep(0.6)
        heard.append(line)

    monkeypatch.setattr(toolkit, "say", slow)
    monkeypatch.setattr(toolkit, "SILENT", 1.0)
    source, script = os.pipe()
    os.write(script, b"one\ntwo\nthree\n")
    os.close(script)
    with os.fdopen(source, "rb") as stream:
        toolkit.Echo(stream).finish()
    assert heard == ["one", "two", "three"]


def test_a_stream_that_nobody_closes_is_left(monkeypatch):
    monkeypatch.setattr(toolkit, "SILENT", 0.01)
    source, script = os.pipe()
    echo = toolkit.Echo(os.fdopen(source, "rb"))
    echo.finish()
    assert echo.is_alive()
    os.close(script)
    echo.join()
