"""Every error mlplat raises on purpose, each with a hint that is a command and an exit code.

MlplatError                       1  failed
├── UsageError                    2  a flag, argument or file the user can correct
│   └── SettingsError             2  the configuration: names file, key, value, what is allowed
├── ApiError                      1  AWS answered with an error (code, message, request id)
│   ├── OutcomeUnknown            1  the call may or may not have been applied
│   ├── QuotaExceeded             1  final: there may be no more of it in this account
│   └── PermissionDenied          4  final: credentials or permission
├── CredentialsError              4  no credentials, or expired ones
├── WaitTimeout                   1  an object did not settle in time; running again joins the wait
├── NotSettled                    1  an object settled in a failed status, with AWS's reason
├── ForeignObject                 1  our name, but not our tags
├── StateError                    1  the state file can't be read or written
│   ├── DamagedState              1  it is not what was written; `mlplat state rebuild` makes it anew
│   └── StateConflict             1  somebody else has written it since it was read
├── LockHeld                      5  another run works on this namespace
├── LocalCloudError               1  the local cloud can't start or answer
├── Several                       1  more than one thing is wrong (exit code: theirs, when they agree)
│   └── PartlyDone                3  some steps failed, the rest is done and saved
└── Interrupted                 130  Ctrl-C
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class MlplatError(Exception):
    """An error for people: `message` says what went wrong, `hint` is a command that helps."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_json(self) -> dict[str, object]:
        """What `--json` prints on stderr: `error`, `hint`, `exit_code`."""
        return {"error": self.message, "hint": self.hint, "exit_code": self.exit_code}


class UsageError(MlplatError):
    """Something the user typed can't be meant so."""

    exit_code = 2


class SettingsError(UsageError):
    """The configuration is wrong; the message names file, key, value and what is allowed."""


class ApiError(MlplatError):
    """AWS refused a call. Kinds match on `code` (and `reason`); people read the message.

    One that is `final` brings the hint that helps, whatever was being done.
    """

    final = False

    def __init__(
        self,
        *,
        service: str,
        operation: str,
        code: str,
        reason: str,
        status: int = 0,
        request_id: str | None = None,
        doing: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.service, self.operation, self.code, self.reason = service, operation, code, reason
        self.status, self.request_id, self.doing = status, request_id, doing
        where = doing or f"calling {service} {operation}"
        asked = f"{service} {operation}" if doing and self.final else ""
        trail = ", ".join(each for each in (asked, f"request {request_id}" if request_id else "") if each)
        super().__init__(f"{where}: {code}: {reason}" + (f" ({trail})" if trail else ""), hint=hint)

    def said_while(self, doing: str, hint: str | None = None) -> ApiError:
        """The same error, told as `<doing> <kind> <name>: <cause>`."""
        if self.doing is not None:
            return self
        return type(self)(
            service=self.service,
            operation=self.operation,
            code=self.code,
            reason=self.reason,
            status=self.status,
            request_id=self.request_id,
            doing=doing,
            hint=(self.hint or hint) if self.final else (hint or self.hint),
        )


class OutcomeUnknown(ApiError):
    """The connection broke or AWS answered 5xx after a mutating call was sent: look before deciding."""


class QuotaExceeded(ApiError):
    """The account has as many as it may have; only a raised quota, or fewer of them, helps."""

    final = True


class PermissionDenied(ApiError):
    """AWS says no to these credentials for this call; retrying can't help."""

    final = True
    exit_code = 4


class CredentialsError(MlplatError):
    """No AWS credentials were found, or they are expired or invalid."""

    exit_code = 4


class WaitTimeout(MlplatError):
    """An object did not settle before the deadline; nothing is lost, the same command joins the wait."""


class NotSettled(MlplatError):
    """An object reached a status from which it will not recover by itself."""


class ForeignObject(MlplatError):
    """An object with our name carries somebody else's tags, or none: it is never touched."""


class StateError(MlplatError):
    """The state file can't be read, understood or written.

    `left` is the state itself, when it could be written nowhere: the caller prints it, so that it isn't lost.
    Where it is `because` of credentials or a permission, its exit code says so.
    """

    left: Mapping[str, object] | None = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        left: Mapping[str, object] | None = None,
        because: Exception | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.left = left
        if isinstance(because, CredentialsError | PermissionDenied | StateError):
            self.exit_code = because.exit_code

    def to_json(self) -> dict[str, object]:
        """With `state`, when it was written nowhere else."""
        return {**super().to_json(), **({} if self.left is None else {"state": self.left})}


class DamagedState(StateError):
    """The state file is there and is not what was written."""


class StateConflict(StateError):
    """Somebody else has written the state since it was read: what was to be written is out of date."""


class LockHeld(MlplatError):
    """Another run holds the namespace's lock."""

    exit_code = 5


class LocalCloudError(MlplatError):
    """The local cloud can't be started, reached or stopped."""


class Several(MlplatError):
    """More than one thing is wrong; all are told together. `errors` may be empty when there is only the message."""

    def __init__(self, message: str, *, hint: str | None = None, errors: Sequence[MlplatError] = ()) -> None:
        super().__init__(message, hint=hint)
        self.errors = tuple(errors)
        codes = {error.exit_code for error in self.errors}
        if type(self) is Several and len(codes) == 1:
            self.exit_code = codes.pop()

    def to_json(self) -> dict[str, object]:
        """With each error by itself."""
        return {**super().to_json(), "errors": [error.to_json() for error in self.errors]}


class PartlyDone(Several):
    """Some steps failed; what succeeded is saved and the next run goes on from there."""

    exit_code = 3


class Interrupted(MlplatError):
    """The user pressed Ctrl-C; what was in flight is finished and saved."""

    exit_code = 130


@contextmanager
def telling(doing: str, hint: str | None = None) -> Iterator[None]:
    """Around calls: what AWS refuses is told as `<doing>: <cause>`, with `hint` where the cause brings none."""
    try:
        yield
    except ApiError as error:
        raise error.said_while(doing, hint) from error
