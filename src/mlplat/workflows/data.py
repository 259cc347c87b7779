"""Files in the platform's buckets, by what the buckets are for."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlplat.errors import UsageError
from mlplat.workflows import files
from mlplat.workflows.platform import Platform

PURPOSES = ("raw", "processed", "models", "experiments")
"""The buckets of ml_data_infrastructure."""


def bucket(platform: Platform, purpose: str) -> str:
    """The name of the bucket for a purpose. Raises UsageError when there is no such purpose, or no bucket yet."""
    if purpose not in PURPOSES:
        near = get_close_matches(purpose, PURPOSES, n=1, cutoff=0.3)
        raise UsageError(
            f"unknown purpose {purpose!r}: the buckets are {', '.join(PURPOSES)}",
            hint=f"mlplat data ls {near[0] if near else 'raw'}",
        )
    return str(platform.output(f"ml_data_infrastructure.bucket.{purpose}", "name"))


def put(platform: Platform, sources: list[Path], purpose: str, prefix: str = "") -> list[dict[str, Any]]:
    """Upload files, or folders with all that is in them; returns what was put: file, uri, bytes."""
    target = bucket(platform, purpose)
    done = []
    for source in sources:
        root = source if source.is_dir() else source.parent
        for path in files.local_files(source, "file", f"ls {shlex.quote(str(source.parent))}"):
            key = "/".join(part for part in (prefix.strip("/"), path.relative_to(root).as_posix()) if part)
            platform.session.check(f"uploading {path}")
            uri = files.upload_file(platform.session, path, target, key)
            done.append({"file": str(path), "uri": uri, "bytes": path.stat().st_size})
    return done


def ls(platform: Platform, purpose: str, prefix: str = "") -> list[dict[str, Any]]:
    """What a bucket holds under a prefix: key, bytes, modified."""
    found = files.list_objects(platform.session, bucket(platform, purpose), prefix)
    return [{"key": each["Key"], "bytes": each["Size"], "modified": each["LastModified"]} for each in found]
