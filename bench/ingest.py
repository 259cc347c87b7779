"""Ingesting the churn customers: rows a second by the SageMaker SDK, by mlplat, and by a client that does nothing else.

All write to the same local cloud, one after the other. The bound sends requests whose bodies are ready, signs them and
does not look at the answers. `python bench/ingest.py ROWS` ingests that many made-up rows besides and shows how much
memory it took for a tenth of them and for all; `--write` puts the tables into docs/performance.md.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlplat.aws import Session
from mlplat.localcloud import daemon
from mlplat.reconciler.entries import Entry
from mlplat.reconciler.state import Store
from mlplat.settings import Settings, load
from mlplat.workflows.features.groups import schema_of
from mlplat.workflows.features.ingest import Ingestion
from mlplat.workflows.features.sources import sources
from mlplat.workflows.platform import Platform

ROOT = Path(__file__).resolve().parents[1]
CUSTOMERS = ROOT / "examples" / "churn" / "data" / "customers.csv"
PAGE = ROOT / "docs" / "performance.md"
SDK_ROWS = 1000
"""Of the 5,000: one call a row takes long."""
THREADS = 8


def group(session: Session) -> str:
    """A new feature group of the churn customers, online only."""
    spec = load(environ={}).feature_groups["customer"]
    name = f"bench-{uuid.uuid4().hex[:8]}"
    sagemaker = session.client("sagemaker")
    sagemaker.create_feature_group(
        FeatureGroupName=name,
        RecordIdentifierFeatureName=spec.record_identifier,
        EventTimeFeatureName=spec.event_time,
        FeatureDefinitions=[{"FeatureName": key, "FeatureType": str(kind)} for key, kind in spec.features.items()],
        OnlineStoreConfig={"EnableOnlineStore": True},
    )
    describe = sagemaker.describe_feature_group
    session.wait(name, lambda: describe(FeatureGroupName=name)["FeatureGroupStatus"], lambda now: now == "Created")
    return name


def by_sdk(name: str, *, batch: bool) -> tuple[int, float]:
    """Rows and seconds of ingest_dataframe as it comes; the environment says where."""
    import pandas as pd
    from sagemaker.mlops.feature_store.feature_utils import ingest_dataframe

    frame = pd.read_csv(CUSTOMERS, dtype={"customer_id": str}).head(SDK_ROWS)
    began = time.monotonic()
    ingest_dataframe(feature_group_name=name, data_frame=frame, use_batch_write_record=batch)
    return len(frame), time.monotonic() - began


def by_mlplat(session: Session, name: str, path: Path, folder: Path) -> tuple[int, float]:
    """Rows and seconds of an ingestion, reading and checking the file included."""
    store = Store(folder / name, "bench")
    with store.edit("bench") as state:
        state.entries["ml_feature_store.feature_group.customer"] = Entry("feature_group", name, {}, {"name": name})
    platform = Platform(Settings(namespace="bench"), session, store)
    began = time.monotonic()
    run = Ingestion(platform, schema_of(platform, "customer", 1), sources([path]), folder / name)
    done = run.run(refused_file=folder / "refused.jsonl", parallel=THREADS)
    assert not done.refused, done
    return done.written, time.monotonic() - began


def by_bare_client(session: Session, name: str) -> tuple[int, float]:
    """Rows and seconds of signed requests that were made before: what no client can do faster."""
    import threading

    import urllib3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    bodies, rows = _bodies(name)
    address, key = session.endpoint_url or "", Credentials(*(session.credentials or ("", "")))
    pool = urllib3.PoolManager(maxsize=THREADS)
    signer, lock = SigV4Auth(key, "sagemaker", session.region), threading.Lock()

    def send(body: bytes) -> None:
        request = AWSRequest(
            "POST", f"{address}/BatchWriteRecord", data=body, headers={"Content-Type": "application/json"}
        )
        with lock:
            signer.add_auth(request)
        answer = pool.request("POST", request.url, body=body, headers=dict(request.headers))
        assert answer.status == 200, answer.data

    with ThreadPoolExecutor(THREADS) as threads:
        began = time.monotonic()
        list(threads.map(send, bodies))
        return rows, time.monotonic() - began


def _bodies(name: str) -> tuple[list[bytes], int]:
    with CUSTOMERS.open(newline="") as stream:
        records = [
            [{"FeatureName": key, "ValueAsString": value} for key, value in row.items() if value]
            for row in csv.DictReader(stream)
        ]
    entries = [{"FeatureGroupName": name, "Record": record} for record in records]
    batches = [entries[start : start + 25] for start in range(0, len(entries), 25)]
    return [json.dumps({"Entries": batch}).encode() for batch in batches], len(entries)


def made_up(path: Path, rows: int) -> Path:
    """The customers again and again under other identifiers."""
    with CUSTOMERS.open(newline="") as stream:
        header, *customers = list(csv.reader(stream))
    identifier = header.index("customer_id")
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for number in range(rows):
            row = customers[number % len(customers)]
            row[identifier] = str(number)
            writer.writerow(row)
    return path


def memory(rows: int, folder: Path) -> tuple[float, float]:
    """Seconds and MiB (the most at any time) of an ingestion of made-up rows in a process of its own."""
    path = made_up(folder / f"{rows}.csv", rows)
    made = subprocess.run(
        [sys.executable, __file__, "--one", str(path)], capture_output=True, text=True, check=True, env=os.environ
    )
    seconds, most = made.stdout.split()
    return float(seconds), float(most)


def one(path: Path) -> None:
    """The process of `memory`: its session is the environment's."""
    session = Session("bench", "us-east-1")
    with tempfile.TemporaryDirectory() as folder:
        _, seconds = by_mlplat(session, group(session), path, Path(folder))
    status = Path("/proc/self/status").read_text()
    print(seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [" | ".join(each) for each in (columns, ["---"] * len(columns), *rows)]
    return f"{title}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"


def speeds(session: Session, folder: Path) -> str:
    """The first table."""
    ways: dict[str, Callable[[], tuple[int, float]]] = {
        "SageMaker SDK, as it comes": lambda: by_sdk(group(session), batch=False),
        "SageMaker SDK, use_batch_write_record": lambda: by_sdk(group(session), batch=True),
        "mlplat features ingest": lambda: by_mlplat(session, group(session), CUSTOMERS, folder),
        "bound: signed requests, bodies ready": lambda: by_bare_client(session, group(session)),
    }
    speed = {}
    for name, way in ways.items():
        rows, seconds = way()
        speed[name] = rows / seconds
    slowest = next(iter(speed.values()))
    rows_of = [(name, f"{each:,.0f}", f"{each / slowest:.1f}") for name, each in speed.items()]
    return table("Rows a second, and how many times the first line's:", ("way", "rows a second", "times"), rows_of)


def growth(rows: int, folder: Path) -> str:
    """The second table."""
    found = [(count, *memory(count, folder)) for count in (rows // 10, rows)]
    lines = [(f"{count:,}", f"{count / seconds:,.0f}", f"{most:.0f}") for count, seconds, most in found]
    return table("Memory does not grow with the rows:", ("rows", "rows a second", "MiB at most"), lines)


def results(rows: int) -> Iterator[str]:
    """Each table when it is measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cloud = daemon.start(folder / "local", transition_delay=0.0)
        try:
            os.environ |= cloud.environment()
            session = Session("bench", "us-east-1", cloud.url, credentials=(cloud.access_key, cloud.secret_key))
            yield speeds(session, folder)
            if rows:
                yield growth(rows, folder)
        finally:
            daemon.stop(folder / "local")


def main() -> None:
    """Measure, print, and write where asked to."""
    if "--one" in sys.argv:
        return one(Path(sys.argv[-1]))
    counts = [int(each) for each in sys.argv[1:] if each.isdigit()]
    found = []
    for each in results(counts[0] if counts else 0):
        print(each, flush=True)
        found.append(each)
    if "--write" in sys.argv:
        head, mark, tail = PAGE.read_text().partition("<!-- ingest -->\n")
        _, end, rest = tail.partition("<!-- /ingest -->")
        PAGE.write_text(head + mark + "\n".join(found) + end + rest)
    return None


if __name__ == "__main__":
    main()
