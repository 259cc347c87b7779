"""`mlplat local`: the local cloud of this folder, started, stopped, looked at, and offered to any AWS client."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.errors import LocalCloudError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.localcloud.daemon import Address

app = typer.Typer(help="The local cloud: SageMaker on this machine, for any AWS client.", no_args_is_help=True)

FOLDER = Path(".mlplat") / "local"

PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="The port; 0 lets the system choose.", metavar="PORT")
]
DelayOption = Annotated[
    float,
    typer.Option(
        "--transition-delay", min=0.0, help="How long objects stay Creating, Updating, Deleting.", metavar="SECONDS"
    ),
]

ReadsOption = Annotated[
    int,
    typer.Option(
        "--eventual-consistency-reads", min=0, help="How often a new object is not found at first.", metavar="N"
    ),
]


EnforceOption = Annotated[
    bool, typer.Option("--enforce-iam", help="Jobs, endpoints and functions may do what their role's policies allow.")
]


def connect(
    folder: Path = FOLDER,
    transition_delay: float = 0.5,
    eventual_consistency_reads: int = 0,
    *,
    enforce_iam: bool = False,
) -> Address:
    """The folder's local cloud, started when it is not running; this process reaches it past any proxy."""
    from mlplat.localcloud import daemon

    os.environ.update(daemon.around_proxies())
    running = daemon.status(folder)
    if running is not None:
        return running
    with output.working("starting the local cloud"):
        return daemon.ensure(
            folder,
            transition_delay=transition_delay,
            eventual_consistency_reads=eventual_consistency_reads,
            enforce_iam=enforce_iam,
        )


@app.command()
def start(
    port: PortOption = 0,
    transition_delay: DelayOption = 0.5,
    eventual_consistency_reads: ReadsOption = 0,
    enforce_iam: EnforceOption = False,
    json: JsonOption = False,
) -> None:
    """Start the local cloud, or find it running."""
    from mlplat.localcloud import daemon

    with output.working("starting the local cloud"):
        address = daemon.start(
            FOLDER,
            port=port,
            transition_delay=transition_delay,
            eventual_consistency_reads=eventual_consistency_reads,
            enforce_iam=enforce_iam,
        )
    if output.mode.json:
        output.data(_about(address))
        return
    output.success(f"the local cloud runs at {address.url} (process {address.pid})")
    output.hint('eval "$(mlplat local env)"')


@app.command()
def stop(json: JsonOption = False) -> None:
    """Stop the local cloud and everything that runs in it."""
    from mlplat.localcloud import daemon

    stopped = daemon.stop(FOLDER)
    if output.mode.json:
        output.data({"stopped": stopped})
    elif not stopped:
        output.note("the local cloud was not running")
    else:
        output.success("the local cloud is stopped")
        output.note("What it holds is kept in .mlplat/local; the next start has it again.")


@app.command()
def status(json: JsonOption = False) -> None:
    """Show whether it runs, where, and what it is made of."""
    from mlplat.localcloud import daemon

    address = daemon.status(FOLDER)
    if address is None:
        output.data({"running": False}, lambda: "not running")
        if not output.mode.json:
            output.hint("mlplat local start")
        return
    about = {"running": True, **_about(address), **_inside(address)}
    output.table("", ("Property", "Value"), list(about.items()), value=about)


@app.command()
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines from the end.", metavar="N")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing as lines are written.")] = False,
    requests: Annotated[bool, typer.Option("--requests", help="The request log instead of the daemon's own.")] = False,
) -> None:
    """Print the daemon's log: its errors, with tracebacks. With --requests, every call that it answered."""
    path = FOLDER / ("requests.jsonl" if requests else "daemon.log")
    if not path.exists():
        raise LocalCloudError("reading the log: there is none yet", hint="mlplat local start")
    for line in _tail(path, lines, follow):
        typer.echo(line)


@app.command()
def interrupt(
    job: Annotated[str, typer.Argument(help="A training job with EnableManagedSpotTraining.", metavar="JOB")],
    seconds: Annotated[
        float, typer.Option("--for", min=0.0, help="How long there are no other spot instances.", metavar="SECONDS")
    ] = 5.0,
    region: Annotated[
        str, typer.Option("--region", help="The job's region; the local cloud's own by default.", metavar="REGION")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Take a job's spot instances away, as EC2 does, to see whether it goes on from its checkpoints.

    The job gets SIGTERM, and SIGKILL after two minutes. Its checkpoints are saved, and it starts again.
    """
    from mlplat.localcloud import daemon

    address = daemon.status(FOLDER)
    if address is None:
        raise LocalCloudError(f"interrupting training job {job}: no local cloud runs here", hint="mlplat local start")
    daemon.interrupt(address, job, region=region or address.region, seconds=seconds)
    if output.mode.json:
        output.data({"interrupted": job})
    else:
        output.success(f"the spot instances of {job} are taken away")


@app.command()
def reset(json: JsonOption = False) -> None:
    """Forget every object, bucket and log; a local cloud that was running starts again, empty."""
    from mlplat.localcloud import daemon

    with output.working("emptying the local cloud"):
        address = daemon.reset(FOLDER)
    if output.mode.json:
        output.data({"running": address is not None})
    else:
        output.success("the local cloud is empty" + (f" and runs at {address.url}" if address else ""))


@app.command()
def env(json: JsonOption = False) -> None:
    """Print the variables that point any AWS client at it: `eval "$(mlplat local env)"`."""
    variables = connect().environment()
    if output.mode.json:
        output.data(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")


def _about(address: Address) -> dict[str, Any]:
    return {
        "url": address.url,
        "pid": address.pid,
        "region": address.region,
        "account": address.account,
        "version": address.version,
        "folder": str(address.folder),
        "transition_delay": address.transition_delay,
        "eventual_consistency_reads": address.eventual_consistency_reads,
        "enforce_iam": address.enforce_iam,
    }


def _inside(address: Address) -> dict[str, Any]:
    from mlplat.localcloud import daemon

    about = daemon.about(address)
    return {"sandbox": about["sandbox"], "children": about["children"]}


def _tail(path: Path, count: int, follow: bool) -> Iterator[str]:
    with path.open(errors="replace") as file:
        yield from file.read().splitlines()[-count:] if count else ()
        file.seek(0, 2)
        while follow:
            line = file.readline()
            if line:
                yield line.rstrip("\n")
            else:
                time.sleep(0.2)
                follow = path.exists()
