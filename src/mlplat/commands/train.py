"""Train and tune: submit, follow live, show metrics, register what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, TimeoutOption, following, limited, platform_of
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.settings import Workload
    from mlplat.workflows.platform import Platform
    from mlplat.workflows.registry import Version


def train(
    workload: Annotated[str | None, typer.Argument(help="A workload of the configuration.", metavar="WORKLOAD")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Search the configured ranges and keep the best trial.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Train again although the same training has been done.")
    ] = False,
    parameter: Annotated[
        list[str],
        typer.Option("--parameter", "-p", help="Override a hyperparameter; may be repeated.", metavar="NAME=VALUE"),
    ] = [],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job until it has ended.")] = True,
    register: Annotated[
        bool, typer.Option("--register/--no-register", help="Register the model, pending approval.")
    ] = True,
    timeout: TimeoutOption = None,
    logs: Annotated[str | None, typer.Option("--logs", help="Only print the log of this job.", metavar="JOB")] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Train a workload. The same training is recognised and not repeated."""
    from mlplat.workflows import train as training

    platform = platform_of(namespace, config)
    if logs:
        with following(platform, f"training job {logs}", timeout):
            for event in training.follow(platform, logs):
                if event.what == "log":
                    output.text(event.text)
        return
    name, spec = training.workload_of(platform, workload)
    found = (
        _tuned(platform, name, spec, force, wait, timeout)
        if tune
        else _trained(platform, name, spec, parameter, force, wait, timeout)
    )
    if found is None:
        return
    with limited(platform, timeout):
        version = training.register(platform, name, spec, found) if register else None
    _report(found, version)


def _trained(
    platform: Platform,
    name: str,
    spec: Workload,
    parameters: list[str],
    force: bool,
    wait: bool,
    timeout: int | None,
) -> dict[str, Any] | None:
    from mlplat.workflows import train as training

    with output.working("packing and uploading source and data"), limited(platform, timeout):
        overrides = training.parse_parameters(parameters)
        inputs = training.prepare(platform, name, spec, {**spec.hyperparameters, **overrides})
        job, new = training.submit(platform, inputs, force=force)
    said = f"training job {job}" if new else f"training job {job} is the same training; not repeated (--force does)"
    if not wait:
        output.note(said)
        output.data({"job": job, "started": new}, lambda: job)
        return None
    with following(platform, f"training job {job}", timeout), output.working(f"training job {job}") as say:
        output.note(said)  # who reads the name may end the wait at once
        for event in training.follow(platform, job):
            if event.what == "log" and new:
                output.log(event.text)
            elif event.what == "status":
                output.note(f"  {event.text}")
                say(event.text)
        return training.result(platform, job)


def _tuned(
    platform: Platform, name: str, spec: Workload, force: bool, wait: bool, timeout: int | None
) -> dict[str, Any] | None:
    from mlplat.output.trials import LiveTrials
    from mlplat.workflows import tune

    with output.working("packing and uploading source and data"), limited(platform, timeout):
        inputs = tune.prepare(platform, name, spec)
        job, new = tune.submit(platform, inputs, force=force)
    said = f"tuning job {job}" if new else f"tuning job {job} is the same tuning; not repeated (--force does)"
    if not wait:
        output.note(said)
        output.data({"tuning": job, "started": new}, lambda: job)
        return None
    with (
        following(platform, f"tuning job {job}", timeout),
        LiveTrials(job, spec.objective_metric or "objective", spec.objective_type) as live,
    ):
        output.note(said)
        for event in tune.follow(platform, job):
            live.update(event.text, event.value)
    with limited(platform, timeout):
        return tune.result(platform, job)


def _report(found: dict[str, Any], version: Version | None) -> None:
    whole = {**found, "version": version.to_json() if version else None}
    rows = sorted(found["metrics"].items())
    if output.mode.json:
        output.data(whole)
        return
    output.table(f"{found['job']}", ["Metric", "Value"], rows)
    if "trials" in found:
        output.table("Best parameters", ["Parameter", "Value"], sorted(found["hyperparameters"].items()))
    output.note(f"model {found['model']}")
    if version:
        output.success(f"version {version.version} of {version.group}: {version.approval}")
        if version.approval != "Approved":
            output.hint(f"mlplat registry approve {version.version}")
