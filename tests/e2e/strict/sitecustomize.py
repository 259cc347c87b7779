"""Python imports this first: in the command `mlplat`, every request is checked as AWS checks it (strict_requests).

The local cloud and what it runs are left alone, and so is the time that a command without AWS takes: botocore is
not imported here, its session is changed when somebody else imports it.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


class _Watching(Loader):
    """Loads botocore.session as ever, then has each new session watched."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        spec = importlib.util.spec_from_file_location(
            "strict_requests", Path(__file__).parents[2] / "strict_requests.py"
        )
        assert spec is not None and spec.loader is not None
        strict = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(strict)
        plain = module.Session.__init__  # type: ignore[attr-defined]

        def watched(self: Any, *args: Any, **named: Any) -> None:
            plain(self, *args, **named)
            strict.watch(self)

        module.Session.__init__ = watched  # type: ignore[attr-defined]


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "botocore.session":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _Watching(spec.loader)
        return spec


if sys.orig_argv[1:3] == ["-m", "mlplat"]:
    sys.meta_path.insert(0, _Finder())
