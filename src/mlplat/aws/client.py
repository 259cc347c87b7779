"""A boto3 client whose calls are repeated only where that can do no harm, and whose errors are ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mlplat.aws.retryable import patience
from mlplat.aws.throttling import is_throttled, limits
from mlplat.aws.translation import is_unsent, translated
from mlplat.errors import ApiError, Interrupted, WaitTimeout

if TYPE_CHECKING:
    from mlplat.aws.session import Session

READS = re.compile(r"(describe|get|list|head|batch_get|search|simulate|lookup)_|head_|search$")
"""Operations that change nothing, by boto3's method name."""

THROTTLED_WITHIN = 600.0
"""Seconds after which a call that is still throttled fails: somebody else uses up the account's budget."""

UNSENT_WITHIN = 10.0
"""Seconds to go on when no connection can be made, or a read gets no usable answer."""


class Client:
    """A boto3 client whose calls retry safely and raise our errors. Methods are boto3's, keywords only."""

    def __init__(self, session: Session, service: str, boto: Any) -> None:
        self._session, self._service, self.boto = session, service, boto

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self.boto, operation)
        repeatable = bool(READS.match(operation))

        def call(**params: Any) -> Any:
            return self._call(operation, repeatable, self._in_turn(operation, method, params))

        return call

    def pages(self, operation: str, key: str, **params: Any) -> Iterator[Any]:
        """Every item under `key` of a paginated read."""
        paginator = self._session.paginator(self._service, operation)
        send = paginator._method  # each page retried by itself: a generator that raised would end the list early
        paginator._method = lambda **page: self._call(operation, True, self._in_turn(operation, send, page))
        for page in paginator.paginate(**params):
            yield from page.get(key) or ()
            if self._session.late:
                raise self._session.interruption(f"listing {self._service} {operation}")

    def _in_turn(self, operation: str, method: Callable[..., Any], params: dict[str, Any]) -> Callable[[], Any]:
        """A call that waits, each time it is sent, until AWS's limits allow it."""
        rows = tuple(limits(self._service, operation, params))

        def send() -> Any:
            if rows:
                self._session.wait_turn(*(self._session.bucket(row) for row in rows))
            return method(**params)

        return send

    def _call(self, operation: str, repeatable: bool, send: Callable[[], Any]) -> Any:
        budget, refused = self._session.budget(self._service), list[ApiError]()

        def attempt() -> Any:
            self._session.wait_turn(budget)
            try:
                with (
                    self._session.believed(),
                    translated(self._service, operation, repeatable=repeatable, region=self._session.region),
                ):
                    answer = send()
            except ApiError as error:
                refused[:] = [error]
                if is_throttled(error):
                    budget.throttled(self._session.now())
                raise
            budget.succeeded()
            return answer

        repeat = self._session.retrying
        passing = repeat(lambda error: patience(error, asked=False))
        patient = repeat(lambda error: THROTTLED_WITHIN * is_throttled(error), first=0.2, most=8.0)
        brisk = repeat(lambda error: UNSENT_WITHIN * is_unsent(error), first=0.1, most=3.0)
        try:
            return passing(patient, brisk, attempt)
        except (Interrupted, WaitTimeout) as error:
            what = self._session.address or f"{self._service} {operation}"
            why = f" ({refused[0].code}: {refused[0].reason})" if refused else ""
            raise self._session.interruption(f"waiting for {what}{why}") from error
