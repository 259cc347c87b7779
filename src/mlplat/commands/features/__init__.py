"""The feature store: feature groups, their records online and offline, and training sets."""

from __future__ import annotations

import typer

from mlplat.commands.features import groups, offline, records, transformations, versions

app = typer.Typer(help="Feature groups: write records, read them back, make training sets.", no_args_is_help=True)

for _each in (
    groups.list_groups, groups.describe, groups.export, versions.version, versions.backfill, versions.retire,
    transformations.transform, records.validate, records.ingest, records.get, records.put, records.delete,
    offline.query, offline.history, offline.dataset,
):  # fmt: skip
    app.command(_each.__name__.removesuffix("_groups"))(_each)
