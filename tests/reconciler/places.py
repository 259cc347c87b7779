"""Places where a state can be kept, with a look behind the store's back: files, and objects of the local cloud."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import RunningCloud

from mlplat.aws import Session
from mlplat.reconciler.backend import Backend, Part
from mlplat.reconciler.files import Files
from mlplat.reconciler.objects import GZIP, Objects
from mlplat.reconciler.state import Store

BUCKET = "mlplat-state-of-tests"


@dataclass
class Local:
    """A folder."""

    folder: Path
    namespace: str = "test"

    def backend(self) -> Backend:
        return Files(self.folder, self.namespace)

    def store(self, tell: Callable[[str], None] = lambda _text: None) -> Store:
        """A new one each time, as each process has its own."""
        return Store(self.folder, self.namespace, tell, self.backend())

    def path(self, part: str) -> Path:
        return {
            "state": self.folder / f"{self.namespace}.state.json",
            "journal": self.folder / f"{self.namespace}.state.journal",
            "lock": self.folder / f"{self.namespace}.lock",
        }[part]

    def read(self, part: Part | str) -> bytes | None:
        return self.path(part).read_bytes() if self.path(part).exists() else None

    def put(self, part: Part | str, content: bytes) -> None:
        self.path(part).parent.mkdir(exist_ok=True)
        self.path(part).write_bytes(content)

    def remove(self, part: Part | str) -> None:
        self.path(part).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """Everything that is there now."""
        return {path.name.removeprefix(f"{self.namespace}.") for path in self.folder.iterdir()}

    @property
    def source(self) -> str:
        """Python that makes the store in another process."""
        return f"Store(Path({str(self.folder)!r}), {self.namespace!r})"


@dataclass
class Remote(Local):
    """A key in a versioned bucket, and a folder for recovery files."""

    cloud: RunningCloud = field(kw_only=True)
    session: Session = field(kw_only=True)
    key: str = field(default_factory=lambda: f"mlplat/{uuid.uuid4().hex}/state.json")

    def backend(self) -> Objects:
        return Objects(self.session, BUCKET, self.key)

    def store(self, tell: Callable[[str], None] = lambda _text: None) -> Store:
        return Store(self.folder, self.namespace, tell, Objects(self.session, BUCKET, self.key, tell))

    def object(self, part: str) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": self.key if part == "state" else f"{self.key}.{part}"}

    def read(self, part: Part | str) -> bytes | None:
        """Without the compression."""
        s3 = self.cloud.client("s3")
        try:
            content: bytes = s3.get_object(**self.object(part))["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return zlib.decompressobj(GZIP).decompress(content) if part == "journal" else content

    def put(self, part: Part | str, content: bytes) -> None:
        packer = zlib.compressobj(wbits=GZIP)
        packed = packer.compress(content) + packer.flush() if part == "journal" else content
        self.cloud.client("s3").put_object(**self.object(part), Body=packed)

    def remove(self, part: Part | str) -> None:
        self.cloud.client("s3").delete_object(**self.object(part))

    def names(self) -> set[str]:
        found: list[dict[str, Any]] = (
            self.cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=self.key).get("Contents", [])
        )
        return {each["Key"].removeprefix(self.key.removesuffix("state.json")) for each in found}

    @property
    def source(self) -> str:
        address = self.cloud.address
        session = (
            f"Session({self.namespace!r}, 'us-east-1', endpoint_url={self.cloud.url!r}, "
            f"credentials=({address.access_key!r}, {address.secret_key!r}))"
        )
        folder = f"Path({str(self.folder)!r})"
        return f"Store({folder}, {self.namespace!r}, backend=Objects({session}, {BUCKET!r}, {self.key!r}))"
