"""Amazon S3: what is in a bucket, counted before it may be lost, deleted only when somebody asked for it by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from mlplat.aws import Session
from mlplat.errors import ApiError
from mlplat.resources.base import Observed

PAGE = 1000
"""What S3 lists, and deletes, in one call at most."""

IN_FLIGHT = 8

OWN = "mlplat/"
"""Where mlplat itself keeps things in a bucket (`bucket_object`). They are no data, and go with the bucket."""


def all_of(aws: Session, seen: Observed) -> dict[str, str]:
    """The tags to write, for calls that replace all of them: ours, and what others put on."""
    outdated = aws.outdated(seen.tags)
    return {key: value for key, value in (seen.tags or {}).items() if key not in outdated} | aws.tags


def contents(aws: Session, bucket: str) -> str | None:
    """What the bucket holds, with its size, from one page of its versions; None when it holds nothing at all.

    Of more than a page only the first is counted: a bucket of millions would cost minutes and money. Delete markers
    count as old versions: S3 refuses to delete a bucket that has one. What is mlplat's `OWN` doesn't count.
    """
    s3 = aws.client("s3")
    page = aws.find(lambda: s3.list_object_versions(Bucket=bucket, MaxKeys=PAGE)) or {}
    versions, markers = _not_own(page.get("Versions", ())), _not_own(page.get("DeleteMarkers", ()))
    size = sum(each.get("Size", 0) for each in versions)
    if page.get("IsTruncated"):
        return f"more than {PAGE:,} objects, {in_bytes(size)} in the first {PAGE:,}"
    live = sum(1 for each in versions if each["IsLatest"])
    old = len(versions) - live + len(markers)
    uploads = aws.find(lambda: s3.list_multipart_uploads(Bucket=bucket, MaxUploads=PAGE)) or {}
    counts = ((live, "object"), (old, "old version"), (len(uploads.get("Uploads", ())), "unfinished upload"))
    told = " and ".join(f"{count:,} {what}{'s' if count > 1 else ''}" for count, what in counts if count)
    return f"{told}, {in_bytes(size)}" if told else None


def _not_own(listed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in listed if not each["Key"].startswith(OWN)]


def in_bytes(size: int) -> str:
    """A size as people read it: `1.5 MB`."""
    amount, left = float(size), ["B", "KB", "MB", "GB", "TB", "PB"]
    while amount >= 999.5 and len(left) > 1:
        amount, left = amount / 1000, left[1:]
    return f"{amount:.3g} {left[0]}"


def delete_contents(aws: Session, bucket: str, prefix: str = "") -> None:
    """Delete every version, delete marker and unfinished upload, a thousand a call and eight calls at once.

    Each round lists from the start, so that nothing hangs on a marker whose object is gone.
    """
    s3 = aws.client("s3")
    deleted = 0
    with ThreadPoolExecutor(max_workers=IN_FLIGHT) as pool:
        while found := list(islice(_versions(aws, bucket, prefix), IN_FLIGHT * PAGE)):
            batches = [found[start : start + PAGE] for start in range(0, len(found), PAGE)]
            list(pool.map(lambda batch: _delete(aws, bucket, batch), batches))
            deleted += len(found)
            aws.report(f"{deleted:,} objects deleted")
    for upload in s3.pages("list_multipart_uploads", "Uploads", Bucket=bucket, Prefix=prefix):
        with aws.gone_is_fine():
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _versions(aws: Session, bucket: str, prefix: str) -> Iterator[dict[str, str]]:
    """Key and version of everything, delete markers included, as DeleteObjects takes them."""
    s3 = aws.client("s3")
    after: dict[str, str] = {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **after)
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}
        if not page.get("IsTruncated"):
            return
        after = {"KeyMarker": page["NextKeyMarker"]}
        if "NextVersionIdMarker" in page:
            after["VersionIdMarker"] = page["NextVersionIdMarker"]


def _delete(aws: Session, bucket: str, batch: Sequence[dict[str, str]]) -> None:
    """DeleteObjects answers 200 even when it refused some of them: its errors become ours."""

    def attempt() -> None:
        answer: dict[str, Any] = aws.client("s3").delete_objects(
            Bucket=bucket, Delete={"Objects": list(batch), "Quiet": True}
        )
        for error in answer.get("Errors", ()):
            raise ApiError(
                service="s3",
                operation="delete_objects",
                code=error.get("Code", "Unknown"),
                reason=f"{error.get('Key')}: {error.get('Message', 'no message')}",
            )

    aws.patiently(attempt)
