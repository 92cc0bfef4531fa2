"""Call one implementation of a hook: timed, traced, with its errors isolated."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sized
from typing import Any, Final

import pluggy

from gateway.clock import Clock
from gateway.errors import PluginError
from gateway.observability.fault_places import with_place

_log = logging.getLogger(__name__)

# A hook of each batch runs on the event loop: every request waits for it.
BATCH_SECONDS: Final = 0.05
START_SECONDS: Final = 1.0
_WARN_AGAIN_SECONDS: Final = 60.0


class HookCalls:
    """Calls implementations. ``failures`` counts errors by (plugin, hook), ``faults`` has the last.

    An implementation in ``batch_hooks`` that takes over 50 ms, or another over 1 s, is a warning.
    ``trace`` is called with a line for each call.
    """

    def __init__(
        self, clock: Clock, batch_hooks: tuple[str, ...], trace: Callable[[str], None] | None
    ) -> None:
        self.failures: Counter[tuple[str, str]] = Counter()
        self.faults: dict[tuple[str, str], str] = {}
        self._clock = clock
        self._batch_hooks = batch_hooks
        self._trace = trace
        self._warned: dict[tuple[str, str], float] = {}

    def call(self, implementation: pluggy.HookImpl, **arguments: Any) -> Any:
        """Call one implementation with the arguments it accepts."""
        began = self._clock.monotonic_seconds()
        given = {name: arguments[name] for name in implementation.argnames}
        answer: Any = None
        try:
            answer = implementation.function(**given)
        except BaseException as error:
            self._note(implementation, given, type(error), began)
            raise
        self._note(implementation, given, answer, began)
        return answer

    def isolated(
        self, implementation: pluggy.HookImpl, function: Callable[..., Any] | None = None
    ) -> "_Isolated":
        """Count and log an error of one plugin in the block; the results of the others still count.

        ``function`` is the function in the block, if it isn't the implementation itself.
        """
        return _Isolated(self, implementation, function or implementation.function)

    def failed(
        self, implementation: pluggy.HookImpl, function: Callable[..., Any], error: Exception
    ) -> None:
        """Count and log an error of one plugin."""
        name, hook = implementation.plugin_name, implementation.function.__name__
        why = error.message if isinstance(error, PluginError) else type(error).__name__
        self.failures[name, hook] += 1
        fault = with_place(why, error, function)
        self.faults[name, hook] = fault
        _log.error("plugin %s failed in %s and was passed over: %s", name, hook, fault)

    def _note(
        self, implementation: pluggy.HookImpl, given: Mapping[str, Any], answer: Any, began: float
    ) -> None:
        now = self._clock.monotonic_seconds()
        name, hook = implementation.plugin_name, implementation.function.__name__
        if self._trace is not None:
            words = ", ".join(f"{key}: {shape_of(value)}" for key, value in given.items())
            self._trace(
                f"{name}.{hook}({words}) -> {shape_of(answer)} in {(now - began) * 1000:.1f} ms"
            )
        limit = BATCH_SECONDS if hook in self._batch_hooks else START_SECONDS
        if now - began <= limit:
            return
        warned_at = self._warned.get((name, hook))
        if warned_at is None or now - warned_at >= _WARN_AGAIN_SECONDS:
            self._warned[name, hook] = now
            _log.warning(
                "plugin %s took %.0f ms in %s, at most %.0f ms are right: requests wait "
                "meanwhile; move long work into a job",
                name,
                (now - began) * 1000,
                hook,
                limit * 1000,
            )


class _Isolated:
    """The block of one call; a generator's context manager calls six functions for each."""

    __slots__ = ("_calls", "_function", "_implementation")

    def __init__(
        self, calls: HookCalls, implementation: pluggy.HookImpl, function: Callable[..., Any]
    ) -> None:
        self._calls = calls
        self._implementation = implementation
        self._function = function

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        """Keep an exception to this plugin: its fault must not become the batch's."""
        if not isinstance(error, Exception):
            return False
        self._calls.failed(self._implementation, self._function, error)
        return True


def shape_of(value: Any) -> str:
    """Describe a value without showing it: ``None``, ``list of 3 Review``, ``dict of 2``."""
    if value is None or isinstance(value, type):
        return "None" if value is None else value.__name__
    if not isinstance(value, Sized):
        return type(value).__name__
    kinds = {type(each).__name__ for each in value} if isinstance(value, (list, tuple)) else set()
    inner = f" {kinds.pop()}" if len(kinds) == 1 else ""
    return f"{type(value).__name__} of {len(value)}{inner}"


def print_trace(line: str) -> None:
    """Print a line of the trace to stderr, beside the log."""
    sys.stderr.write(f"trace: {line}\n")
