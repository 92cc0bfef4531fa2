"""Every error the gateway raises on purpose.

::

    GatewayError
    ├── ConfigurationError        gateway.toml, the environment or a plugin is wrong
    │   ├── SettingsError         carries every problem found, not only the first
    │   └── PluginError           a plugin can't be imported, built or called
    ├── StorageError              the database can't be reached, read or migrated
    │   └── SealError             a sealed value can't be opened (wrong key, moved, damaged)
    │       └── SealKeyMissing    … because its key isn't here
    ├── InvalidInput              what was sent can't be understood or accepted
    │   ├── TooLarge              … because there is too much of it
    │   │   └── FileTooDemanding  … to read in the sandbox
    │   ├── FileTooSlow           … because reading it takes too long
    │   ├── FileUnreadable        … because its reader refuses it
    │   ├── ReaderCrashed         … because its reader fails over it
    │   └── UnsupportedMedia      … because of its content type
    ├── NotAuthenticated          no key, an unknown one, or a revoked one
    ├── NotAllowed                the key is fine but doesn't reach this far
    ├── PlanLimitReached          the account's plan has no room left
    ├── NotFound                  no such row, or not this account's
    ├── Conflict                  the row exists but can't go there from here
    ├── IdempotencyKeyReused      the same key came with another body
    ├── RateLimited               too many requests; says when to come back
    └── Unavailable               try again soon; nothing was stored

No HTTP status stands here: :mod:`gateway.http.errors` is the one place that
maps these to answers. A message is one sentence that says what to do next and
never repeats a submitted value: it may end up in a log or an answer.
"""

from collections.abc import Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong, for a caller who sent many things at once.

    ``index`` counts from 0 in the batch that was sent; ``field`` is a dotted
    field name; ``message`` is a sentence without any submitted value in it.
    """

    message: str
    index: int | None = None
    field: str | None = None


class GatewayError(Exception):
    """The root of the tree: ``message`` is a sentence, ``details`` the parts of it."""

    def __init__(self, message: str, details: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)


class ConfigurationError(GatewayError):
    """The gateway can't start as it is configured."""


class SettingsError(ConfigurationError):
    """``details`` holds one problem a line: file, [table], key, what was expected."""


class PluginError(ConfigurationError):
    """A plugin can't be imported, built or called; the message names its distribution."""


class StorageError(GatewayError):
    """The database can't be reached, read or brought up to date."""


class SealError(StorageError):
    """A sealed value can't be opened with the keys at hand, or was moved or damaged."""


class SealKeyMissing(SealError):
    """The value is sound, but its key isn't here: another machine may have it."""


class InvalidInput(GatewayError):
    """What was sent can't be understood or accepted; ``details`` says which parts."""


class TooLarge(InvalidInput):
    """More was sent than is taken in one piece."""


class FileTooDemanding(TooLarge):
    """Reading the file takes more memory or a larger answer than is allowed."""


class FileTooSlow(InvalidInput):
    """Reading the file takes more time than is allowed."""


class FileUnreadable(InvalidInput):
    """The reader refuses the file; ``code`` is the reader's own word for why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ReaderCrashed(InvalidInput):
    """The reader failed over the file, or its process was killed.

    ``cause`` is an exception's class or an exit code. ``stderr`` is the beginning of what the
    process wrote there: it may quote the file, so it belongs into no log.
    """

    def __init__(self, message: str, cause: str, stderr: bytes) -> None:
        super().__init__(message)
        self.cause = cause
        self.stderr = stderr


class UnsupportedMedia(InvalidInput):
    """The content type is none that this address understands."""


class NotAuthenticated(GatewayError):
    """No API key came along, or it is unknown or revoked."""


class NotAllowed(GatewayError):
    """The key is valid, but what it asks for is outside its plan, site or mode."""


class PlanLimitReached(GatewayError):
    """The account's plan has no room left for this."""


class NotFound(GatewayError):
    """There is no such thing, or it belongs to somebody else: the answer is the same."""


class Conflict(GatewayError):
    """The thing exists, but can't go where it was asked to go from where it is."""


class IdempotencyKeyReused(GatewayError):
    """The same idempotency key came with another request body."""


class RateLimited(GatewayError):
    """Too many requests. ``retry_after_seconds`` is whole and at least 1.

    ``limit`` requests are taken per ``window_seconds`` under the policy called
    ``policy`` (draft-ietf-httpapi-ratelimit-headers).
    """

    def __init__(
        self,
        message: str,
        *,
        policy: str,
        limit: int,
        window_seconds: int,
        retry_after_seconds: int,
    ) -> None:
        super().__init__(message)
        self.policy = policy
        self.limit = limit
        self.window_seconds = window_seconds
        self.retry_after_seconds = retry_after_seconds


class Unavailable(GatewayError):
    """The gateway can't take this right now; nothing was stored, sending it again is safe."""
