"""What every command starts with: its shared options, and the platform of the namespace it was asked to work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.errors import UsageError

if TYPE_CHECKING:
    from mlplat.aws import Session
    from mlplat.reconciler.backend import Backend
    from mlplat.reconciler.state import Store
    from mlplat.settings import Settings
    from mlplat.workflows.platform import Platform

FOLDER = Path(".mlplat")
"""The state of every namespace and the local cloud of this folder."""

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The platform to work on (MLPLAT_NAMESPACE).", metavar="NAME")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The folder of default.toml (MLPLAT_CONFIG).", metavar="DIR")
]
ParallelismOption = Annotated[
    int | None, typer.Option("--parallelism", min=1, max=256, help="Calls in flight at once.", metavar="N")
]
TimeoutOption = Annotated[
    int | None,
    typer.Option(
        "--timeout", min=1, help="Give up waits after so many minutes; run again to go on.", metavar="MINUTES"
    ),
]
ApproveOption = Annotated[
    bool | None,
    typer.Option("--auto-approve/--no-auto-approve", help="Go on without asking, or ask even where it isn't required."),
]


def settings_of(namespace: str | None, config: Path | None, flags: dict[str, Any] | None = None) -> Settings:
    """The effective settings; `flags` are dotted keys given on the command line (None: not given)."""
    from mlplat.settings import load

    given = {key: value for key, value in (flags or {}).items() if value is not None}
    return load(config=config, namespace=namespace, flags=given)


def session_of(settings: Settings) -> Session:
    """A session on AWS, or on this folder's local cloud, which is started when it is not running."""
    from mlplat.aws import Session

    connections = max(32, settings.apply.parallelism * 2)
    if settings.target == "local":
        from mlplat.commands.local import connect

        cloud = connect(
            FOLDER / "local",
            settings.local.transition_delay_seconds,
            settings.local.eventual_consistency_reads,
            enforce_iam=settings.local.enforce_iam,
        )
        return Session(
            settings.namespace,
            settings.region,
            endpoint_url=cloud.url,
            credentials=(cloud.access_key, cloud.secret_key),
            max_connections=connections,
            labels=settings.tags,
        )
    return Session(
        settings.namespace,
        settings.region,
        profile=settings.profile,
        max_connections=connections,
        labels=settings.tags,
    )


def store_of(settings: Settings, session: Session | None = None) -> Store:
    """The state of the namespace where the settings say that it is."""
    from mlplat.reconciler.state import Store

    return Store(FOLDER, settings.namespace, output.warn, backend_of(settings, settings.state.backend, session))


@contextmanager
def stored(namespace: str | None, config: Path | None, timeout: int | None) -> Iterator[Store]:
    """The state by itself, to look at: on this machine without a session, in S3 within `timeout` minutes."""
    settings = settings_of(namespace, config, {"apply.timeout_minutes": timeout})
    session = None if settings.state.backend == "local" else session_of(settings)
    with nullcontext() if session is None else session.limited(60.0 * settings.apply.timeout_minutes):
        yield store_of(settings, session)


def backend_of(settings: Settings, kind: str, session: Session | None = None) -> Backend:
    """What keeps the state: files here, or objects in the bucket of the settings."""
    if kind == "local":
        from mlplat.reconciler.files import Files

        return Files(FOLDER, settings.namespace)
    from mlplat.reconciler.objects import Objects

    if settings.state.bucket is None:
        raise UsageError("looking for the state in S3: state.bucket isn't set", hint="mlplat bootstrap")
    key = settings.state.key or f"mlplat/{settings.namespace}/state.json"
    return Objects(session or session_of(settings), settings.state.bucket, key, output.warn)


def platform_of(
    namespace: str | None = None,
    config: Path | None = None,
    flags: dict[str, Any] | None = None,
    parallelism: int | None = None,
    timeout: int | None = None,
) -> Platform:
    """The platform that a command works on."""
    from mlplat.workflows.platform import Platform

    given = {"apply.parallelism": parallelism, "apply.timeout_minutes": timeout}
    settings = settings_of(namespace, config, {**(flags or {}), **given})
    session = session_of(settings)
    return Platform(settings, session, store_of(settings, session))


def limited(platform: Platform, timeout: int | None) -> AbstractContextManager[None]:
    """Around what may take as long as it takes, if no `timeout` (minutes) is given: then its waits are given up."""
    return platform.session.limited(None if timeout is None else 60.0 * timeout)


@contextmanager
def following(platform: Platform, what: str, timeout: int | None) -> Iterator[None]:
    """Around the wait for a run: Ctrl-C and `timeout` minutes end the wait, not the run; the same command joins it."""
    from mlplat.errors import Interrupted, WaitTimeout

    try:
        with limited(platform, timeout):
            yield
    except WaitTimeout as error:
        raise WaitTimeout(f"waiting for {what}: not done after {timeout} min; it goes on") from error
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(f"stopped waiting for {what}: it goes on") from error
