"""The layers that settings are made of: values and where each came from, read from files and flags."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplat.errors import SettingsError
from mlplat.settings.problems import KeyPath, Origin, shown_path

PATHS: tuple[KeyPath, ...] = (
    ("workloads", "*", "source"),
    ("workloads", "*", "channels", "*"),
    ("transformations", "*", "script"),
)
"""Values that are paths, relative to the file that holds them."""


@dataclass
class Layer:
    """Nested values, and for every key and table of them where it was written."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def put(self, key: KeyPath, value: Any, origin: Origin) -> None:
        """Set one value, or all values of a table."""
        table = self.values
        for part in key[:-1]:
            table = table.setdefault(part, {})
        table[key[-1]] = value
        self.origins.update(dict.fromkeys((key, *_keys(key, value)), origin))

    def origin(self, key: KeyPath) -> Origin:
        """Where a key was written; for one that was not, where something in it was, or else its table."""
        inside = (origin for each, origin in self.origins.items() if each[: len(key)] == key)
        around = (self.origins[key[:end]] for end in range(len(key) - 1, 0, -1) if key[:end] in self.origins)
        return self.origins.get(key) or next(inside, None) or next(around, Origin("default"))

    def at(self, key: KeyPath) -> Any:
        """The value of a key, `...` without one."""
        value: Any = self.values
        for part in key:
            if isinstance(value, list):  # an array of tables
                value = {str(index): each for index, each in enumerate(value)}
            if not isinstance(value, Mapping) or part not in value:
                return ...
            value = value[part]
        return value


def is_like(key: KeyPath, patterns: tuple[KeyPath, ...]) -> bool:
    """Whether the key matches a pattern, in which `*` stands for any one part."""
    return any(
        len(key) == len(pattern) and all(want in ("*", part) for part, want in zip(key, pattern, strict=True))
        for pattern in patterns
    )


def read_file(path: Path) -> Layer:
    """A TOML file, its paths made absolute. Raises SettingsError with file, line and column."""
    try:
        text = path.read_bytes().decode()
        values = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"reading {shown_path(path)}: {error.strerror}", hint=f"ls -l {path.parent}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"reading {shown_path(path)}:{line}: not UTF-8, as TOML must be (byte {error.start})"
        raise SettingsError(message, hint=f"iconv -f UTF-8 {path} > /dev/null") from error
    except tomllib.TOMLDecodeError as error:
        raise _malformed(path, text, error) from error
    origins = {key: Origin("file", str(path), line) for key, line in key_lines(text)}
    return Layer(_absolute((), values, path.parent), origins)


def _malformed(path: Path, text: str, error: tomllib.TOMLDecodeError) -> SettingsError:
    found = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error), re.DOTALL)
    if found:
        reason, line, column = found[1], int(found[2]), int(found[3])
    else:
        reason, line, column = (
            str(error).replace("(at end of document)", "at the end of the file"),
            text.count("\n") + 1,
            1,
        )
    lines = text.split("\n")
    shown = f": {lines[line - 1].strip()}" if 0 < line <= len(lines) and lines[line - 1].strip() else ""
    message = f"reading {shown_path(path)}:{line}:{column}: not valid TOML: {reason}{shown}"
    return SettingsError(message, hint=f"${{EDITOR:-vi}} +{line} {shown_path(path)}")


def key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Every key and table of a valid TOML text with its line, which tomllib doesn't tell.

    Statements are found by asking tomllib where each one ends, so strings and arrays may span lines. Only "\\n"
    ends a line: str.splitlines knows others, which TOML allows in strings.
    """
    table: KeyPath = ()
    rows: Counter[KeyPath] = Counter()
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        end, parsed = _statement(lines, start)
        keys = list(_keys((), parsed))
        if lines[start].lstrip().startswith("["):
            table = max(keys, key=len)
            yield table, start + 1
            if lines[start].lstrip().startswith("[["):
                rows[table] += 1
                table = (*table, str(rows[table] - 1))
                yield table, start + 1
        else:
            yield from (((*table, *key), start + 1) for key in keys)
        start = end


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    for end in range(start + 1, len(lines) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
    return len(lines), {}


def _keys(key: KeyPath, value: Any) -> Iterator[KeyPath]:
    if key:
        yield key
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _keys((*key, name), each)


def from_flags(flags: Mapping[str, Any]) -> Layer:
    """What was given on the command line, by dotted key; None means: not given."""
    layer = Layer()
    for name, value in flags.items():
        if value is not None:
            layer.put(tuple(name.split(".")), value, Origin("flag"))
    return layer


def absolute(value: Any, folder: Path) -> Any:
    """A path as absolute one; addresses (s3://) and what is no text are left alone."""
    if not isinstance(value, str) or not value or "://" in value:
        return value
    return str((folder / Path(value).expanduser()).resolve())


def _absolute(key: KeyPath, value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {name: _absolute((*key, name), each, folder) for name, each in value.items()}
    return absolute(value, folder) if is_like(key, PATHS) else value
