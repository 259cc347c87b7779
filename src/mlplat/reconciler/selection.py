"""Part of a platform, by patterns: what `--target` takes with all that it needs, and what `--exclude` leaves alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mlplat.errors import UsageError
from mlplat.reconciler import graph


@dataclass(frozen=True)
class Selection:
    """Addresses by patterns, in which * matches many. Without targets it is everything that is not excluded."""

    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    alone: bool = False
    """The targets without what they need, which has to be there already."""

    @property
    def is_partial(self) -> bool:
        """Whether anything is left out."""
        return bool(self.targets or self.exclude)

    def aims_at(self, address: str) -> bool:
        """Whether it is a target by itself."""
        return not self.targets or matches(address, self.targets)

    def leaves_out(self, address: str) -> bool:
        """Whether it is excluded."""
        return matches(address, self.exclude)

    def chosen(self, addresses: Collection[str], needs: Mapping[str, Collection[str]]) -> set[str]:
        """The targets among the addresses and what they need, however far, without what is excluded."""
        aimed = [address for address in addresses if self.aims_at(address) and not self.leaves_out(address)]
        if self.alone:
            return set(aimed)
        kept = {a: [need for need in needs.get(a, ()) if not self.leaves_out(need)] for a in addresses}
        return graph.reached(kept, aimed) & set(addresses)

    def unmatched(self, addresses: Collection[str], doing: str) -> Iterator[UsageError]:
        """A pattern that matches nothing is a slip of the pen."""
        for flag, patterns in (("--target", self.targets), ("--exclude", self.exclude)):
            for pattern in patterns:
                if not any(fnmatchcase(address, pattern) for address in addresses):
                    yield _unmatched(flag, pattern, addresses, doing)


def matches(address: str, patterns: Collection[str]) -> bool:
    """Whether one of the patterns is about the address."""
    return any(fnmatchcase(address, pattern) for pattern in patterns)


def _unmatched(flag: str, pattern: str, addresses: Collection[str], doing: str) -> UsageError:
    near = get_close_matches(pattern, addresses, n=1, cutoff=0.3)
    return UsageError(
        f"{doing} {flag} {pattern}: there is nothing of that address",
        hint=f"mlplat plan {flag} {near[0]}" if near else "mlplat status",
    )


EVERYTHING = Selection()
"""Nothing left out."""
