"""The local cloud beside bounds taken in the same run: a bare model server, a server that answers at once, stock moto.

Requests are signed beforehand and sent over sockets by one thread, so that the client costs next to nothing and the
figures are the servers'; rows that say boto3 show what a program that uses boto3 sees. `--write` puts the tables into
docs/performance.md.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from load.bounds import at_once, stock_moto
from load.page import table, write
from load.raw import Load, Place, Signed, drive
from mlplat.localcloud import daemon

HEADING = "## The local cloud"
FEATURES = 7
SETTLED = 6.0
"""Seconds after which all that was made is saved, and all that a start leaves for later is loaded."""
MODEL = """
import joblib, numpy, os
def model_fn(model_dir): return joblib.load(os.path.join(model_dir, "model.joblib"))
def input_fn(body, content_type): return numpy.array([[float(x) for x in line.split(",")] for line in body.split()])
"""
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

CONTROL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sts GetCallerIdentity": ("sts", "get_caller_identity", {}),
    "iam GetRole": ("iam", "get_role", {"RoleName": "bench"}),
    "s3 PutObject 1 KiB": ("s3", "put_object", {"Bucket": "bench", "Key": "k", "Body": b"x" * 1024}),
    "s3 GetObject 1 KiB": ("s3", "get_object", {"Bucket": "bench", "Key": "k"}),
    "s3 ListObjectsV2": ("s3", "list_objects_v2", {"Bucket": "bench"}),
    "ec2 DescribeSubnets": ("ec2", "describe_subnets", {}),
    "kms ListKeys": ("kms", "list_keys", {}),
    "logs DescribeLogGroups": ("logs", "describe_log_groups", {}),
    "glue GetDatabase": ("glue", "get_database", {"Name": "bench"}),
    "sagemaker ListModels": ("sagemaker", "list_models", {}),
    "sagemaker DescribeModel": ("sagemaker", "describe_model", {"ModelName": "bench"}),
    "sagemaker DescribeFeatureGroup": ("sagemaker", "describe_feature_group", {"FeatureGroupName": "bench"}),
}


def furnish(signed: Signed) -> None:
    """What CONTROL asks about."""
    role = signed.client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [TRUST]}))["Role"]["Arn"]  # fmt: skip
    s3 = signed.client("s3")
    s3.create_bucket(Bucket="bench")
    s3.put_object(Bucket="bench", Key="k", Body=b"x" * 1024)
    signed.client("glue").create_database(DatabaseInput={"Name": "bench"})
    signed.client("logs").create_log_group(logGroupName="bench")
    signed.client("ec2").describe_subnets()
    s3.put_object(Bucket="bench", Key="model.tar.gz", Body=packed())
    sagemaker = signed.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bench/model.tar.gz"}
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=role, PrimaryContainer=container)
    names = ["id", "at", *(f"f{i}" for i in range(FEATURES))]
    kinds = ["String", "String", *["Fractional"] * FEATURES]
    sagemaker.create_feature_group(
        FeatureGroupName="bench", RecordIdentifierFeatureName="id", EventTimeFeatureName="at", RoleArn=role,
        OnlineStoreConfig={"EnableOnlineStore": True},
        OfflineStoreConfig={"S3StorageConfig": {"S3Uri": "s3://bench/offline"}},
        FeatureDefinitions=[{"FeatureName": n, "FeatureType": k} for n, k in zip(names, kinds, strict=True)],
    )  # fmt: skip


def packed() -> bytes:
    """A logistic regression and its inference.py, as a training job leaves them."""
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression

    weights, archive = io.BytesIO(), io.BytesIO()
    joblib.dump(LogisticRegression().fit(*make_classification(200, FEATURES, random_state=1)), weights)
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in {"model.joblib": weights.getvalue(), "code/inference.py": MODEL.encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def control(ours: Signed, pid: int, moto: Signed, moto_pid: int, times: int = 150) -> Iterator[str]:
    """The same calls, to both, in turn: what they cost the servers' processes, which other programs don't disturb."""
    ratios = []
    for name, (service, operation, members) in CONTROL.items():
        spent = []
        for server, process in ((ours, psutil.Process(pid)), (moto, psutil.Process(moto_pid))):
            request = server(service, operation, **members)
            drive(server.place, [iter([request] * 5)])
            before = cpu(process)
            drive(server.place, [iter([request] * times)])
            spent.append((cpu(process) - before) * 1000 / times)
        mine, theirs = spent
        ratios.append(theirs / max(mine, 0.01))
        yield f"| {name} | {mine:.2f} ms | {theirs:.2f} ms | {ratios[-1]:.1f} |"
    yield f"| median of these | | | {statistics.median(ratios):.1f} |"


def cpu(process: psutil.Process) -> float:
    """Seconds of CPU that a process has had."""
    times = process.cpu_times()
    return float(times.user + times.system)


def serving(ours: Signed, folder: Path) -> Iterator[str]:
    """InvokeEndpoint against the same model server asked directly."""
    sagemaker = ours.client("sagemaker")
    variant = {"VariantName": "one", "ModelName": "bench", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="bench", WaiterConfig={"Delay": 1})
    row = ",".join(["0.5"] * FEATURES).encode()
    invoke = {"EndpointName": "bench", "Body": row, "ContentType": "text/csv", "Accept": "application/json"}
    through = ours("sagemaker-runtime", "invoke_endpoint", **invoke)
    head = f"POST /invocations HTTP/1.1\r\nHost: l\r\nContent-Type: text/csv\r\nContent-Length: {len(row)}\r\n\r\n"
    direct = head.encode() + row
    bare = next(str(path) for path in folder.rglob("*") if path.is_socket())
    yield from beside("invoke, 1 client", 1, 1500, (bare, direct), (ours.place, through))
    yield from beside("invoke, 16 clients", 16, 300, (bare, direct), (ours.place, through))
    client = ours.client("sagemaker-runtime")
    seen = [timed(lambda: client.invoke_endpoint(**invoke)["Body"].read()) for _ in range(400)]
    yield f"| invoke, 1 boto3 client | | p50 {statistics.median(seen) * 1000:.2f} ms | |"
    sagemaker.delete_endpoint(EndpointName="bench")


def beside(name: str, clients: int, each: int, bare: tuple[Place, bytes], through: tuple[Place, bytes]) -> list[str]:
    """Both in turn, three times; the best of each."""
    runs: list[list[Load]] = [[], []]
    for _ in range(3):
        for found, (place, request) in zip(runs, (bare, through), strict=True):
            found.append(drive(place, [iter([request] * each) for _ in range(clients)]))
    bound, ours = (max(found, key=lambda load: load.rate) for found in runs)
    more = f"+{ours.p50 - bound.p50:.2f} ms, {ours.rate / bound.rate:.2f} of the rate"
    shown = [f"p50 {load.p50:.2f} ms, {load.rate:.0f}/s" for load in (bound, ours)]
    return [f"| {name} | {shown[0]} | {shown[1]} | {more} |"]


def timed(call: Callable[[], Any]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def record(number: int) -> list[dict[str, str]]:
    """A row."""
    values = {"id": str(number), "at": "2026-03-01T00:00:00Z", **{f"f{i}": f"{number}.5" for i in range(FEATURES)}}
    return [{"FeatureName": name, "ValueAsString": value} for name, value in values.items()]


def ingest(ours: Signed, stub: Signed) -> Iterator[str]:
    """PutRecord and BatchWriteRecord, 8 clients, against the stub."""
    puts = [[{"FeatureGroupName": "bench", "Record": record(300 * k + i)} for i in range(300)] for k in range(8)]
    entries = [{"FeatureGroupName": "bench", "Record": record(number)} for number in range(60 * 25)]
    batches = [[{"Entries": entries[at : at + 25]} for at in range(0, len(entries), 25)]] * 8
    for name, operation, rows, given in (
        ("PutRecord, 8 clients", "put_record", 1, puts),
        ("BatchWriteRecord of 25, 8 clients", "batch_write_record", 25, batches),
    ):
        loads = []
        for server in (stub, ours):
            requests = [[server("sagemaker-featurestore-runtime", operation, **m) for m in each] for each in given]
            loads.append(drive(server.place, [iter(each) for each in requests]))
        bound, load = loads
        shown = f"{bound.rate * rows:.0f} rows/s | {load.rate * rows:.0f} rows/s, p50 {load.p50:.2f} ms"
        yield f"| {name} | {shown} | {load.rate / bound.rate:.2f} |"
    rates = [boto3_puts(server) for server in (stub, ours)]
    yield f"| PutRecord, 8 boto3 clients | {rates[0]:.0f} rows/s | {rates[1]:.0f} rows/s | {rates[1] / rates[0]:.2f} |"


def boto3_puts(server: Signed, clients: int = 8, each: int = 100) -> float:
    """Rows a second of boto3 clients, a thread each: what a program's own CPU allows."""

    def put(thread: int) -> None:
        for number in range(each):
            runtimes[thread].put_record(FeatureGroupName="bench", Record=record(10_000 * thread + number))

    runtimes = [server.client("sagemaker-featurestore-runtime") for _ in range(clients)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(put, range(clients)))
    return clients * each / (time.perf_counter() - begun)


def started(folder: Path) -> tuple[daemon.Address, list[str]]:
    """`mlplat local start`, and the first answer after it."""
    (folder / "config").mkdir()
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mlplat", "local", "start"], cwd=folder, check=True, capture_output=True)
    said = time.perf_counter() - begun
    address = daemon.status(folder / ".mlplat" / "local")
    assert address is not None
    client = Signed(address.url, address.access_key, address.secret_key).client("sts")
    began = time.perf_counter()
    client.get_caller_identity()
    ready = said + time.perf_counter() - began
    return address, [
        f"| `mlplat local start` returned | {said:.2f} s |",
        f"| the first call was answered | {ready:.2f} s |",
    ]


def measure(folder: Path) -> Iterator[str]:
    """All lines, as they are found."""
    address, lines = started(folder)
    try:
        yield table("", "took")
        yield from lines
        ours = Signed(address.url, address.access_key, address.secret_key)
        furnish(ours)
        with stock_moto() as (url, pid):
            moto = Signed(url)
            furnish(moto)
            time.sleep(SETTLED)
            yield "\n" + table("one call: the server's CPU", "local cloud", "stock moto", "times as fast")
            yield from control(ours, address.pid, moto, pid)
        yield "\n" + table("serving", "model server alone", "through the local cloud", "difference")
        yield from serving(ours, address.folder)
        with at_once() as url:
            yield "\n" + table("feature store", "a stub that answers at once", "local cloud", "of the bound")
            yield from ingest(ours, Signed(url))
    finally:
        daemon.stop(address.folder)


def main() -> None:
    """Print the tables, and write them when asked."""
    with tempfile.TemporaryDirectory() as name:
        write(HEADING, "bench/localcloud.py", __doc__ or "", measure(Path(name)))


if __name__ == "__main__":
    main()
