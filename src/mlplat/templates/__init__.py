"""What exists in a namespace: four pure functions from settings to resources, in order of dependence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from mlplat.errors import SettingsError
from mlplat.resources.base import Declared
from mlplat.templates.data import ml_data_infrastructure
from mlplat.templates.features import ml_feature_store
from mlplat.templates.place import Place as Place
from mlplat.templates.serving import ml_model_serving
from mlplat.templates.training import ml_training_infrastructure

if TYPE_CHECKING:
    from mlplat.settings import Settings
    from mlplat.templates.release import Release

Template = Callable[["Settings", Place, "Mapping[str, Release]"], list[Declared]]
"""A template: settings, place, the release of each endpoint (by its name in the settings) -> what exists."""


TEMPLATES: dict[str, Template] = {
    template.__name__: template
    for template in (ml_data_infrastructure, ml_feature_store, ml_training_infrastructure, ml_model_serving)
}
"""Every template by its name, each after those that it takes refs from."""


def declare(settings: Settings, place: Place, releases: Mapping[str, Release]) -> list[Declared]:
    """Everything that should exist in the namespace. No two share an address, or a kind and a name."""
    declared = [each for template in TEMPLATES.values() for each in template(settings, place, releases)]
    _refuse_twins(declared)
    return declared


def needed_by(declared: Iterable[Declared], templates: Collection[str]) -> list[str]:
    """The templates that `templates` take refs from, transitively and without themselves, in order of dependence."""
    uses: dict[str, set[str]] = {}
    for each in declared:
        uses.setdefault(each.template, set()).update(address.split(".", 1)[0] for address in each.needs())
    found, open_ends = set[str](), list(templates)
    while open_ends:
        new = uses.get(open_ends.pop(), set()) - found
        found |= new
        open_ends.extend(new)
    return [name for name in TEMPLATES if name in found and name not in templates]


def _refuse_twins(declared: Iterable[Declared]) -> None:
    """Two keys of the settings may differ only in what AWS's names can't express (`a_b`, `a-b`)."""
    taken: dict[tuple[str, str], str] = {}
    for each in declared:
        for mark in (("address", each.address), (each.resource.kind, each.resource.name)):
            if mark in taken:
                raise SettingsError(
                    f"reading settings: {taken[mark]} and {each.address} would both be {mark[0]} {mark[1]}: "
                    "rename one of them",
                    hint="mlplat config show",
                )
            taken[mark] = each.address
