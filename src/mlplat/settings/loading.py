"""From folders, files, environment and flags to checked settings, or to one error that tells all that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlplat.errors import SettingsError
from mlplat.settings.environment import read_environment
from mlplat.settings.explain import explain
from mlplat.settings.layers import Layer, from_flags, read_file
from mlplat.settings.limits import NamespaceName
from mlplat.settings.model import Settings
from mlplat.settings.problems import Origin, Problem, nearest, shown_path
from mlplat.settings.sources import Layers

DEFAULTS = "default.toml"
_NAMESPACE: TypeAdapter[str] = TypeAdapter(NamespaceName)


def load(
    *,
    config: Path | None = None,
    namespace: str | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The effective settings of a namespace.

    `config` is the folder of default.toml, `flags` are dotted keys from the command line (None: not given).
    Raises SettingsError with every problem found, one a line.
    """
    environ = os.environ if environ is None else environ
    folder = _directory(config, environ)
    base = read_file(folder / DEFAULTS)
    chosen, origin = _namespace(folder, base, namespace, environ)
    own = read_file(folder / f"{chosen}.toml")
    variables, problems = read_environment(environ, (base, own))
    if own.at(("namespace",)) not in (..., chosen):
        reason = f"this is the file of {chosen}; the namespace is chosen by {DEFAULTS}, MLPLAT_NAMESPACE or --namespace"
        problems.append(Problem(own.origin(("namespace",)), ("namespace",), reason, own.at(("namespace",))))
    given = from_flags(flags or {})
    given.put(("namespace",), chosen, origin)
    return _checked(Layers(given, variables, own, base), folder, problems)


def configured(config: Path | None = None) -> list[Layer]:
    """What the files of the config folder hold, default.toml first."""
    folder = _directory(config, os.environ)
    return [read_file(folder / DEFAULTS), *(read_file(folder / f"{name}.toml") for name in namespaces(folder))]


def packaged_project() -> Path:
    """The folder of the config/ and examples/ that come with mlplat: in the wheel, or of the checkout."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "project", package.parents[1]):
        if (place / "config" / DEFAULTS).is_file():
            return place
    raise SettingsError(
        f"looking for the configuration that comes with mlplat: {package} is incomplete",
        hint="pip install --force-reinstall mlplat",
    )


def namespaces(folder: Path) -> list[str]:
    """The namespaces of a config folder: its files but default.toml."""
    return sorted(path.stem for path in folder.glob("*.toml") if path.name != DEFAULTS)


def _directory(config: Path | None, environ: Mapping[str, str]) -> Path:
    """--config, MLPLAT_CONFIG, ./config when it is one of ours, else what comes with mlplat."""
    named = config or (Path(environ["MLPLAT_CONFIG"]) if environ.get("MLPLAT_CONFIG") else None)
    if named is None:
        here = Path("config").absolute()
        return here if (here / DEFAULTS).is_file() else packaged_project() / "config"
    folder = named.expanduser().absolute()
    if not (folder / DEFAULTS).is_file():
        who = "--config" if config else "MLPLAT_CONFIG"
        reason = f"it has no {DEFAULTS}" if folder.is_dir() else "there is no such folder"
        near = folder / "config"
        hint = (
            f"mlplat config show --config {shown_path(near)}"
            if (near / DEFAULTS).is_file()
            else "mlplat init my-platform"
        )
        raise SettingsError(f"looking for the configuration in {shown_path(folder)} ({who}): {reason}", hint=hint)
    return folder


def _namespace(folder: Path, base: Layer, flag: str | None, environ: Mapping[str, str]) -> tuple[str, Origin]:
    """The namespace to load, and who chose it. Raises SettingsError when it has no file."""
    if flag:
        name, origin = flag, Origin("flag", "--namespace")
    elif environ.get("MLPLAT_NAMESPACE"):
        name, origin = environ["MLPLAT_NAMESPACE"], Origin("environment", "MLPLAT_NAMESPACE")
    else:
        name, origin = base.values.get("namespace", "development"), base.origin(("namespace",))
    try:
        _NAMESPACE.validate_python(name, strict=True)
    except ValidationError as error:
        layer = Layer()
        layer.put(("namespace",), name, origin)
        raise _error(explain(error, layer, ("namespace",))) from None
    known = namespaces(folder)
    if name not in known:
        listed = ", ".join(known) or "none"
        guess = nearest(name, known)
        reason = f"there is no {shown_path(folder / f'{name}.toml')}; the namespaces are: {listed}"
        raise _error(
            [Problem(origin, ("namespace",), reason, name, guess)],
            hint=f"mlplat config show --namespace {guess or known[0]}"
            if known
            else f"${{EDITOR:-vi}} {shown_path(folder / f'{name}.toml')}",
        )
    return name, origin


def _checked(layers: Layers, folder: Path, problems: list[Problem]) -> Settings:
    try:
        with layers.in_force():
            settings = Settings()
    except ValidationError as error:
        found = [*problems, *explain(error, layers.merged())]
        raise _error(sorted(found, key=lambda problem: problem.place)) from None
    if problems:
        raise _error(problems)
    settings.came_from(layers.merged().origins, folder)
    return settings


def _error(problems: list[Problem], hint: str | None = None) -> SettingsError:
    if len(problems) == 1:
        return SettingsError(f"reading the settings: {problems[0]}", hint=hint or _hint(problems[0].origin))
    listed = "".join(f"\n  {problem}" for problem in problems)
    return SettingsError(f"reading the settings: {len(problems)} problems{listed}", hint=_hint(problems[0].origin))


def _hint(origin: Origin) -> str:
    if origin.kind == "file":
        return f"${{EDITOR:-vi}} +{origin.line or 1} {shown_path(origin.name)}"
    return f"unset {origin.name}" if origin.kind == "environment" else "mlplat config keys"
