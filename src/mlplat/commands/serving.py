"""Deploy model versions to endpoints, and ask the endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import ApproveOption, ConfigOption, NamespaceOption, TimeoutOption, limited, platform_of
from mlplat.errors import PartlyDone, UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.templates.release import Release
    from mlplat.workflows.platform import Platform
    from mlplat.workflows.traffic import Sent

EndpointArgument = Annotated[str | None, typer.Argument(help="An endpoint of the configuration.", metavar="ENDPOINT")]


def deploy(
    endpoint: EndpointArgument = None,
    variant: Annotated[
        list[str],
        typer.Option(
            "--variant", "-v", help="A variant's share of the traffic, 0 to 1; may be repeated.", metavar="NAME=SHARE"
        ),
    ] = [],
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="The version for a variant: a number or latest; may be repeated.",
            metavar="VARIANT=VERSION",
        ),
    ] = [],
    drop: Annotated[
        list[str], typer.Option("--drop", help="Take a variant off the endpoint; may be repeated.", metavar="VARIANT")
    ] = [],
    any_version: Annotated[bool, typer.Option("--any-version", help="Also versions that nobody approved.")] = False,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Serve model versions side by side.

    The first deploy gives `primary` everything. A new variant takes the latest approved version; one that runs
    keeps its version unless --model names another; those that aren't named share the rest.
    """
    from mlplat.workflows import deploy as deploying

    shares = [deploying.parse_share(each) for each in variant]
    versions = [deploying.parse_version(each) for each in model]
    wanted = deploying.Wanted(
        deploying.unique(shares, "--variant"), deploying.unique(versions, "--model"), frozenset(drop)
    )
    platform = platform_of(namespace, config, timeout=timeout)
    name, spec = deploying.endpoint_of(platform, endpoint)
    with platform.lock("deploy"):
        with output.working("reading what is there"), platform.limited():
            release = deploying.release_of(
                platform, spec, platform.releases().get(name), wanted, any_version=any_version
            )
        _bring(platform, name, release, auto_approve)
    _serving(platform, name, release)


def _bring(platform: Platform, name: str, release: Release, auto_approve: bool | None) -> None:
    from mlplat.commands.platform import approve
    from mlplat.output.live import LiveTree
    from mlplat.workflows import deploy as deploying

    with output.working("planning"), platform.limited():
        proposed = deploying.plan(platform, name, release)
    approve(platform, proposed, auto_approve, "Deploy this?")
    with deploying.released(platform, name, release):
        with platform.limited():
            made = deploying.plan(platform, name, release)
        with LiveTree(made) as watch:
            platform.apply(made, watch)


def _serving(platform: Platform, name: str, release: Release) -> None:
    rows = [
        [key, each.version, each.weight, each.instance_count, each.instance_type]
        for key, each in release.variants.items()
    ]
    with platform.limited():
        physical = str(platform.output(f"ml_model_serving.endpoint.{name}", "name"))
    columns = ["Variant", "Version", "Weight", "Instances", "Instance type"]
    output.table(f"{name} ({physical})", columns, rows, value={"endpoint": physical, **release.to_json()})


def invoke(
    endpoint: Annotated[str, typer.Argument(help="An endpoint of the configuration.", metavar="ENDPOINT")],
    text: Annotated[
        str | None, typer.Option("--data", "-d", help="The body itself; - reads stdin.", metavar="TEXT")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file: the body, or rows with --by-row.", metavar="FILE")
    ] = None,
    by_row: Annotated[bool, typer.Option("--by-row", help="Send each row of a CSV file as its own request.")] = False,
    label: Annotated[
        str | None,
        typer.Option("--label", help="The column that holds the truth: not sent, but scored (AUC).", metavar="COLUMN"),
    ] = None,
    positive: Annotated[
        str, typer.Option("--positive", help="The value of the label that counts as yes.", metavar="VALUE")
    ] = "yes",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most this many rows.", metavar="N")] = None,
    content_type: Annotated[
        str | None,
        typer.Option("--content-type", help="What the body is; found from the file when not given.", metavar="TYPE"),
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option("--accept", help="What the answer is to be: application/json, for example.", metavar="TYPE"),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target-variant", help="Ask this variant, whatever its share.", metavar="VARIANT")
    ] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Ask an endpoint: one body, or a file row by row with each variant's share and AUC."""
    from mlplat.workflows import deploy as deploying
    from mlplat.workflows import traffic

    if (text is None) == (file is None) or (by_row and file is None):
        raise UsageError(
            "invoking: give either --data or --file", hint=f"mlplat invoke {endpoint} --file rows.csv --by-row"
        )
    platform = platform_of(namespace, config)
    deploying.endpoint_of(platform, endpoint)
    if by_row and file is not None:
        with limited(platform, timeout):
            return _rows(platform, endpoint, file, label, positive, limit, target)
    body = _body(text, file)
    kind = content_type or _kind(body, file)
    with limited(platform, timeout):
        answer = traffic.invoke(platform, endpoint, body, content_type=kind, accept=accept, variant=target)
    value = {"variant": answer.variant, "body": answer.body, "content_type": answer.content_type}
    output.data({**value, "seconds": answer.seconds}, lambda: answer.body.rstrip("\n"))
    output.note(f"{answer.variant} answered in {1000 * answer.seconds:.0f} ms")
    return None


def _body(text: str | None, file: Path | None) -> bytes:
    if file is not None:
        if not file.is_file():
            raise UsageError(f"reading body {file}: there is no such file", hint="mlplat invoke --help")
        return file.read_bytes()
    if text == "-":
        return typer.get_binary_stream("stdin").read()
    return (text or "").encode()


def _kind(body: bytes, file: Path | None) -> str:
    json_like = body.lstrip()[:1] in (b"{", b"[") or (file is not None and file.suffix == ".json")
    return "application/json" if json_like else "text/csv"


def _rows(
    platform: Platform,
    endpoint: str,
    file: Path,
    label: str | None,
    positive: str,
    limit: int | None,
    target: str | None,
) -> None:
    from mlplat.workflows import traffic

    header, rows = traffic.rows_of(file, label)
    rows = rows[:limit]
    with output.counting(f"asking {endpoint}", len(rows)) as count:
        sent = traffic.send(platform, endpoint, header, rows, variant=target, seen=lambda _sent: count(1))
    found = traffic.by_variant(sent, positive)
    failed = [each for each in sent if each.error is not None]
    columns = ["Variant", "Requests", "Share", "AUC", "Median ms"]
    lines = [[each[column.lower().replace(" ", "_")] for column in columns] for each in found]
    output.table(
        f"{len(sent)} requests",
        columns,
        lines,
        value={"variants": found, "failed": [_failure(each) for each in failed]},
    )
    if failed:
        first = _failure(failed[0])
        raise PartlyDone(
            f"invoking endpoint {endpoint}: {len(failed)} of {len(sent)} requests failed; "
            f"row {first['row']}: {first['error']}",
            hint="mlplat status",
        )


def _failure(sent: Sent) -> dict[str, Any]:
    return {"row": sent.row, "error": sent.error.message if sent.error else ""}
