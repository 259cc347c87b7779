"""A wait that ends early, by Ctrl-C or by a kill, is joined by the same command: nothing is started twice."""

from __future__ import annotations

import signal
import time

import pytest
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e


def started(project: Project, operation: str) -> int:
    return sum(each["operation"] == operation and each["status"] == 200 for each in project.requests())


def until(project: Project, operation: str) -> None:
    """Until that call has been made once."""
    for _ in range(600):
        if started(project, operation):
            return
        time.sleep(0.1)
    pytest.fail(f"{operation} was never called")


def test_a_training_and_a_deploy_are_joined(project: Project) -> None:
    project.run("init", ".")
    script = project.folder / "examples" / "churn" / "train.py"
    begins = "    options = arguments()\n"
    script.write_text(script.read_text().replace(begins, f"    __import__('time').sleep(6)\n{begins}", 1))
    project.run("apply")
    first = project.start("train")
    assert first.stderr is not None
    assert any(line.startswith("training job ") for line in first.stderr)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 130, said
    assert "stopped waiting for training job mlplat-development-churn-" in said
    assert "hint: mlplat train" in said
    second = project.start("train")
    time.sleep(2)
    second.kill()
    second.communicate(timeout=30)
    assert "validation:auc" in project.run("train").stdout
    assert started(project, "CreateTrainingJob") == 1

    project.run("registry", "approve", "1")
    deploy = project.start("deploy")
    until(project, "CreateEndpoint")
    deploy.kill()
    deploy.communicate(timeout=30)
    assert "primary" in project.run("deploy").stdout
    assert started(project, "CreateEndpoint") == 1
    project.run("plan")
