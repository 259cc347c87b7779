"""A session: one account and region, its lazy clients, and patience with what passes by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import tenacity

from mlplat.aws.client import Client
from mlplat.aws.retryable import patience
from mlplat.aws.throttling import Bucket, Budget, Limit
from mlplat.aws.translation import is_absent, translate_local
from mlplat.errors import ApiError, CredentialsError, Interrupted, WaitTimeout

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """One account and region as mlplat sees it. `at(address)` gives the view that a resource kind works with."""

    namespace: str
    region: str
    endpoint_url: str | None = None
    profile: str | None = None
    credentials: tuple[str, str] | None = None
    """Access key id and secret, only for the local cloud; otherwise boto3 finds them as every AWS tool does."""
    max_connections: int = 32
    labels: Mapping[str, str] = field(default_factory=dict)
    """Tags of the user's own, which every object gets besides those that say whose it is."""
    given: Mapping[str, str] = field(default_factory=dict)
    """The user's own tags that the object of the address has been given so far, as the state remembers them."""
    address: str = ""
    report: Callable[[str], None] = lambda _status: None
    """Tells the live view what the resource is waiting for."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when waits are to be given up (second Ctrl-C, `--timeout`)."""
    _shared: _Shared = field(default_factory=lambda: _Shared())

    def at(
        self, address: str, report: Callable[[str], None] | None = None, given: Mapping[str, str] | None = None
    ) -> Session:
        """The same session for one address: its tags, those that it was `given`, its progress."""
        return replace(self, address=address, report=report or self.report, given=given or {})

    @property
    def tags(self) -> dict[str, str]:
        """All tags that an object of the address has, to be set in the create call itself."""
        return {**self.labels, **self.ownership}

    def outdated(self, tags: Mapping[str, str] | None) -> dict[str, str]:
        """Those of an object's tags that it was given here, and that the configuration has no longer.

        A tag that somebody else put on, or gave another value, is theirs.
        """
        there, wanted = tags or {}, self.tags
        return {key: value for key, value in self.given.items() if key not in wanted and there.get(key) == value}

    @property
    def ownership(self) -> dict[str, str]:
        """The tags that say whose the object of the address is."""
        return {
            "ManagedBy": "mlplat",
            "mlplat:namespace": self.namespace,
            "mlplat:template": self.address.split(".", 1)[0],
            "mlplat:address": self.address,
        }

    @property
    def account(self) -> str:
        """The account id, from STS, asked once."""
        return str(self._shared.once("account", lambda: self.client("sts").get_caller_identity()["Account"]))

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`, ...: what ARNs of the region begin with."""
        boto = self._shared.once("boto", self._boto_session)
        return str(self._shared.once("partition", lambda: boto.get_partition_for_region(self.region)))

    def client(self, service: str) -> Client:
        """The client of a service, made when first asked for and shared by all threads."""
        return Client(self, service, self._shared.once(f"client:{service}", lambda: self._boto_client(service)))

    def paginator(self, service: str, operation: str) -> Any:
        """A paginator of boto3's, of its own for each listing.

        What it is made of is loaded by one thread: botocore lists all its services' folders for it, and many threads
        that read their first pages at the same moment would each do that.
        """
        boto = self.client(service).boto
        self._shared.once(f"paginators:{service}", lambda: boto.can_paginate(operation))
        return boto.get_paginator(operation)

    @property
    def uploads(self) -> Any:
        """A plain boto3 client of S3 for `upload_file`, with boto3's retries: a part sent twice is the same part."""
        return self._shared.once("uploads", lambda: self._boto_client("s3", attempts=6))

    def _boto_client(self, service: str, attempts: int = 1) -> Any:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=self.max_connections,
            connect_timeout=5,
            read_timeout=70,
            user_agent_extra="mlplat",
        )
        try:
            boto = self._shared.once("boto", self._boto_session)
            return boto.client(service, region_name=self.region, endpoint_url=self.endpoint_url, config=config)
        except BotoCoreError as error:
            raise translate_local(error, service, "client") from error

    def _boto_session(self) -> Any:
        import boto3
        import botocore.session

        if self.credentials is None:
            return boto3.Session(profile_name=self.profile, region_name=self.region)
        # a stray AWS_PROFILE has no say in the local cloud, and no configuration file need exist
        core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        key, secret = self.credentials
        return boto3.Session(
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=self.region,
            botocore_session=core,
        )

    def budget(self, service: str) -> Budget:
        """How fast a service may be called, as all threads have learnt it."""
        budget: Budget = self._shared.once(f"budget:{service}", Budget)
        return budget

    def bucket(self, limit: Limit) -> Bucket:
        """The turns that a limit of AWS's leaves to all threads."""
        bucket: Bucket = self._shared.once(f"limit:{limit}", lambda: Bucket(limit.seconds, limit.burst))
        return bucket

    def wait_turn(self, *queues: Budget | Bucket) -> None:
        """Wait until it is this call's turn in all of them."""
        now = self.now()
        if seconds := max(queue.turn(now) for queue in queues):
            self.pause(seconds)

    def now(self) -> float:
        """Seconds on a clock that runs as fast as pauses take."""
        return time.monotonic()

    def find(self, read: Callable[[], T]) -> T | None:
        """What `read` answers, or None when AWS says in any of its ways that the object isn't there."""
        try:
            return read()
        except ApiError as error:
            if is_absent(error):
                return None
            raise

    @contextmanager
    def gone_is_fine(self) -> Iterator[None]:
        """Around a delete: already gone is success."""
        try:
            yield
        except ApiError as error:
            if not is_absent(error):
                raise

    @contextmanager
    def believed(self) -> Iterator[None]:
        """Around each call: credentials that AWS has refused once are not shown again, whatever is still to be done."""
        if self._shared.refused is not None:
            raise CredentialsError(self._shared.refused.message, hint=self._shared.refused.hint)
        try:
            yield
        except CredentialsError as error:
            self._shared.refused = error
            raise

    def patiently(self, call: Callable[[], T]) -> T:
        """Repeat `call` while it is refused as the table says (`retryable`), the rows that are `asked` among them.

        For calls about an object that was made a moment ago, and for those that look before each attempt.
        """
        return self.retrying(lambda error: patience(error, asked=True))(call)

    def wait(
        self,
        what: str,
        read: Callable[[], T],
        ready: Callable[[T], bool],
        *,
        within: float = 3600.0,
        every: float = 5.0,
    ) -> T:
        """Poll `read` until `ready`, faster at first and every `every` seconds later.

        Raises WaitTimeout after `within` seconds and Interrupted when the session is cancelled; both lose nothing.
        """
        deadline, pause = time.monotonic() + within, min(0.05, every)
        while True:
            value = read()
            if ready(value):
                return value
            if time.monotonic() + pause > deadline:
                raise WaitTimeout(f"waiting for {what}: not done after {within:.0f} s; nothing is lost, run it again")
            self.pause(pause)
            pause = min(pause * 1.6, every)

    def pause(self, seconds: float) -> None:
        """Sleep, but wake at once and stop when the session is cancelled."""
        if self.cancelled.wait(seconds):
            raise self.interruption(f"waiting for {self.address or 'AWS'}")

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Give up all waits when the block takes longer than `seconds`: they raise WaitTimeout, and nothing is lost."""

        def give_up() -> None:
            self._shared.late.set()
            self.cancelled.set()

        timer = threading.Timer(seconds or 0.0, give_up)
        timer.daemon = True
        if seconds is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @property
    def late(self) -> bool:
        """Whether waits were given up because their time was over."""
        return self._shared.late.is_set()

    def check(self, doing: str) -> None:
        """Raise when what is `doing` is to be given up. Waits find out by themselves; many quick calls have to ask."""
        if self.cancelled.is_set():
            raise self.interruption(doing)

    def interruption(self, doing: str) -> Interrupted | WaitTimeout:
        """What to raise when the session is cancelled."""
        if self.late:
            return WaitTimeout(f"{doing}: its time is over; nothing is lost, the same command again goes on")
        return Interrupted(f"stopped while {doing}; run the same command again to go on")

    def retrying(
        self, limit: Callable[[BaseException], float], *, first: float = 0.25, most: float = 10.0
    ) -> tenacity.Retrying:
        """Repeat what fails for as long as `limit` says of the error: seconds since it first failed so, 0 for never.

        Pauses grow from `first` to `most` seconds, with jitter, so that threads refused together don't return together.
        """
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: limit(error) > 0),
            stop=_Deadline(limit),
            wait=tenacity.wait_random_exponential(multiplier=2 * first, max=most, min=first / 2),
            sleep=self.pause,
            before_sleep=self._tell,
            reraise=True,
        )

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ApiError):
            self.report(f"{error.code}: {error.reason}")


class _Deadline(tenacity.stop.stop_base):
    """Stops once a call has been failing for as long as `limit` says of its last error."""

    def __init__(self, limit: Callable[[BaseException], float]) -> None:
        self._limit, self._since = limit, 0.0

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        error, now = state.outcome.exception() if state.outcome else None, time.monotonic()
        if state.attempt_number == 1:
            self._since = now
        return error is None or now - self._since >= self._limit(error)


class _Shared:
    """What every view of a session shares: things made once, whichever thread asks first."""

    def __init__(self) -> None:
        self._lock, self._made = threading.RLock(), dict[str, Any]()
        self.refused: CredentialsError | None = None
        self.late = threading.Event()

    def once(self, key: str, make: Callable[[], T]) -> T:
        if key not in self._made:
            with self._lock:
                if key not in self._made:
                    self._made[key] = make()
        return self._made[key]  # type: ignore[no-any-return]
