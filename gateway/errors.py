"""The exceptions that the gateway raises.

::

    GatewayError
    ├── ConfigurationError        gateway.toml, the environment or a plugin is wrong
    │   ├── SettingsError         carries every problem found, not only the first
    │   └── PluginError           a plugin can't be imported, built or called
    ├── StorageError              the database can't be reached, read or migrated
    │   └── SealError             a sealed value can't be opened (wrong key, moved, damaged)
    │       └── SealKeyMissing    … because its key isn't here
    ├── InvalidInput              a request can't be parsed or accepted
    │   ├── TooLarge              … because it is too large
    │   │   └── FileTooDemanding  … to read in the sandbox
    │   ├── FileTooSlow           … because reading it takes too long
    │   ├── FileUnreadable        … because its reader refuses it
    │   ├── ReaderCrashed         … because its reader crashes on it
    │   └── UnsupportedMedia      … because of its content type
    ├── NotAuthenticated          no key, an unknown one, or a revoked one
    │   └── SessionLocked         … because the person was away: signing in again resumes
    ├── NotAllowed                the key is valid, but not for this plan, site or mode
    │   ├── Forbidden             … because it lacks a permission, which is named
    │   ├── StepUpRequired        … until the person shows a factor again
    │   └── NotOnPlan             … because the account's plan lacks a feature, which is named
    ├── PlanLimitReached          the account's plan has no room left
    ├── NotFound                  no such row, or not this account's
    ├── BodyTimeout               the request body stopped arriving
    ├── Conflict                  the resource's state doesn't allow this
    ├── IdempotencyKeyReused      the same key came with another body
    ├── RateLimited               too many requests; says when to retry
    ├── Unavailable               try again soon; nothing was stored
    │   └── TokenRefused          another party grants no token; carries its reason
    ├── MissingExtra              a library that this needs isn't installed
    └── CallFailed                a foreign server gave no answer; stays inside outbound

HTTP statuses are mapped in :mod:`gateway.http.errors` only. A message is one sentence
that says what to do next and never repeats a submitted value: it may end up in a log
or a response.
"""

from collections.abc import Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem of a request or a configuration, with its place.

    ``index`` counts from 0 in the batch that was sent; ``field`` is a dotted
    field name; ``message`` is a sentence without any submitted value in it.
    """

    message: str
    index: int | None = None
    field: str | None = None


class GatewayError(Exception):
    """The base class: ``message`` is one sentence, ``details`` the single problems."""

    def __init__(self, message: str, details: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)


class ConfigurationError(GatewayError):
    """The gateway can't start with this configuration."""


class SettingsError(ConfigurationError):
    """Invalid settings; each of ``details`` names file, [table], key and the expected value."""


class PluginError(ConfigurationError):
    """A plugin can't be imported, built or called; the message names its distribution."""


class StorageError(GatewayError):
    """The database can't be reached, read or brought up to date."""


class SealError(StorageError):
    """A sealed value can't be opened: wrong key, moved to another row, or damaged."""


class SealKeyMissing(SealError):
    """A sealed value is intact, but its key isn't in the keyring."""


class InvalidInput(GatewayError):
    """A request can't be parsed or accepted; ``details`` names the parts."""


class TooLarge(InvalidInput):
    """The request is larger than the limit."""


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
    """The reader failed on the file, or its process was killed.

    ``cause`` is an exception's class or an exit code. ``stderr`` is the beginning of what the
    process wrote there: it may quote the file, so don't log it.
    """

    def __init__(self, message: str, cause: str, stderr: bytes) -> None:
        super().__init__(message)
        self.cause = cause
        self.stderr = stderr


class UnsupportedMedia(InvalidInput):
    """The route doesn't accept this content type."""


class NotAuthenticated(GatewayError):
    """The API key is missing, unknown or revoked."""


class SessionLocked(NotAuthenticated):
    """The session is locked after a while without activity; signing in again resumes."""


class NotAllowed(GatewayError):
    """The key is valid, but the request is outside its plan, site or mode."""


class Forbidden(NotAllowed):
    """The caller lacks ``permission``; the message and the details name it.

    ``holder`` is the caller's kind: a key is replaced by one with another scope, a person asks
    an owner or a manager.
    """

    def __init__(self, permission: str, *, holder: str = "key") -> None:
        whose, remedy = (
            ("Your role", "ask an owner or a manager of the account for it")
            if holder == "person"
            else ("This key", f"create one that has it (gateway keys create --scope {permission})")
        )
        super().__init__(
            f"{whose} lacks the permission {permission}; {remedy}.",
            [Problem(f"lacks the permission {permission}", field="permission")],
        )
        self.permission = permission


class StepUpRequired(NotAllowed):
    """The action needs a factor that was shown in the last minutes."""


class NotOnPlan(NotAllowed):
    """The account's plan doesn't include a feature; the message and ``details`` name it."""

    def __init__(self, plan: str, feature: str) -> None:
        super().__init__(
            f"The plan {plan} doesn't include {feature}; ask for a plan that does "
            "(GET /api/plan shows yours).",
            [Problem(f"the plan doesn't include {feature}", field="feature")],
        )
        self.feature = feature


class PlanLimitReached(GatewayError):
    """The account's plan has no room left for this.

    ``used`` of ``limit`` are in use; ``resets_at`` (ISO 8601) is set for a limit that resets.
    """

    def __init__(
        self,
        message: str,
        details: Sequence[Problem] = (),
        *,
        limit_name: str,
        limit: int,
        used: int,
        resets_at: str | None = None,
    ) -> None:
        super().__init__(message, details)
        self.limit_name = limit_name
        self.limit = limit
        self.used = used
        self.resets_at = resets_at


class NotFound(GatewayError):
    """The resource doesn't exist or belongs to another account: the response is the same."""


class BodyTimeout(GatewayError):
    """The request body stopped arriving before its end; nothing was stored."""


class Conflict(GatewayError):
    """The resource's state doesn't allow this."""


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
    """Temporarily unavailable; nothing was stored, and a retry is safe."""


class TokenRefused(Unavailable):
    """The other system grants no token: it can't be reached, or refuses.

    ``reason`` is a word: one of the failures of outgoing HTTP, the other system's error code of RFC
    6749 (``invalid_grant`` …), ``bad_answer``, or ``not_connected`` when a person has to connect
    the account first.
    """

    def __init__(
        self, reason: str, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"The other system grants no token: {reason}.")
        self.reason = reason
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class MissingExtra(GatewayError):
    """A required library isn't installed; the message has the command that installs it."""


class CallFailed(GatewayError):
    """A request to another server got no response; ``failure`` is its word in the delivery log.

    ``unanswered`` says that no byte arrived: on a reused connection the request can be sent again.
    The outbound client turns it into a response with an ``error``.
    """

    def __init__(self, failure: str, *, unanswered: bool = False) -> None:
        super().__init__(f"The call failed: {failure}.")
        self.failure = failure
        self.unanswered = unanswered
