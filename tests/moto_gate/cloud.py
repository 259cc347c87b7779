"""A local cloud that moto's own tests can drive: `python -m tests.moto_gate.cloud FOLDER --port PORT`.

They sign with keys of their own invention, or not at all, and empty everything between tests by an unsigned call to
`/moto-api/reset`. The local cloud has no such door; this one has, and it is started by nobody but the gate.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from mlplat.localcloud import application, server
from mlplat.localcloud.routing import Route

RESET = "/moto-api/reset"


class OpenApplication(application.Application):
    """Lets everybody in, and answers moto's own control paths."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """moto's control paths go to moto; a reset also empties what is ours."""
        path = environ.get("PATH_INFO", "")
        if not path.startswith("/moto-api"):
            return super().__call__(environ, start_response)
        self._ready.wait()
        if path == RESET:
            self._forget()
        answer: Iterable[bytes] = self.get_application(environ)(environ, start_response)
        return answer

    def _admit(self, route: Route) -> None:
        """Everybody."""

    def _application(self, route: Route, environ: dict[str, Any]) -> Any:
        """An unsigned request goes where moto would send it."""
        return super()._application(route, environ) or self.get_application(environ)

    def _forget(self) -> None:
        self._clouds.close()
        self._clouds._clouds.clear()
        self._clouds._handlers.clear()


def main() -> None:
    """Serve until told to stop, with moto's settings as its tests expect them."""
    application.Application = OpenApplication  # type: ignore[misc]
    forget = server._forget_the_parent

    def forget_but_for_moto() -> None:
        forget()
        os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "false"

    server._forget_the_parent = forget_but_for_moto
    server.main()


if __name__ == "__main__":
    main()
