"""What holds for every module. Each rule is also shown something that breaks it."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest
from shape.tree import Module, dotted_names, modules

MAX_LINES: Final = 600
SAYS_NOTHING: Final = re.compile(r"(^|[/_])(utils?|helpers?|common|base|managers?|misc)([/_.]|$)")
CLOCK: Final = "gateway/clock.py"
HOOKS: Final = "gateway/hooks.py"
READS_TIME: Final = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns")),
    *(f"time.{name}" for name in ("perf_counter", "perf_counter_ns", "localtime", "gmtime")),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(f"sqlalchemy.func.{name}" for name in ("now", "current_timestamp")),
    *(f"uuid.{name}" for name in ("uuid1", "uuid6", "uuid7")),
}
MUTABLE: Final = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS: Final = {
    "list",
    "dict",
    "set",
    "bytearray",
    "collections.deque",
    "collections.defaultdict",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.ChainMap",
    "weakref.WeakKeyDictionary",
    "weakref.WeakValueDictionary",
}
CHANGES: Final = {
    "append",
    "extend",
    "insert",
    "remove",
    "pop",
    "clear",
    "add",
    "discard",
    "update",
    "setdefault",
    "popitem",
    "appendleft",
    "popleft",
}


def too_long(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MAX_LINES:
        yield f"{module.name} has {lines} lines"


def named_for_nothing(module: Module) -> Iterator[str]:
    if SAYS_NOTHING.search(module.name):
        yield module.name


def annotations_as_text(module: Module) -> Iterator[str]:
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            yield module.at(node, "Litestar and msgspec read annotations at run time")


def reads_the_time(module: Module) -> Iterator[str]:
    for node, name in dotted_names(module):
        if name in READS_TIME and module.name != CLOCK:
            yield module.at(node, name)


def touches_hooks(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr == "hook" and module.name != HOOKS:
            yield module.at(node, ast.unparse(node))


def keeps_state(module: Module) -> Iterator[str]:
    """Yield module-level collections that are no constants, and constants that are changed."""
    full = {id(node): name for node, name in dotted_names(module)}
    constants = set()
    for node in module.tree.body:
        target, value = _assigned(node)
        if target is None or value is None or target == "__all__":
            continue
        called = full.get(id(value.func)) if isinstance(value, ast.Call) else None
        if isinstance(value, MUTABLE) or called in MUTABLE_CALLS:
            constants.add(target)
            if not target.strip("_").isupper():
                yield module.at(node, f"{target} can be changed by anybody")
    for inner in ast.walk(module.tree):
        if isinstance(inner, ast.Global):
            yield module.at(inner, f"global {', '.join(inner.names)}")
        changed = _changed(inner)
        if isinstance(inner, ast.expr) and changed in constants:
            yield module.at(inner, f"{changed} is changed")


def _assigned(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return None, None


def _changed(node: ast.AST) -> str | None:
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return ast.unparse(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return ast.unparse(node.func.value) if node.func.attr in CHANGES else None
    return None


def undocumented(module: Module) -> Iterator[str]:
    if module.tree.body and not ast.get_docstring(module.tree):
        yield f"{module.name} says nothing about itself"
    if "/tests/" not in module.name:  # a test's name is its sentence
        yield from _undocumented(module, module.tree)


def _undocumented(module: Module, parent: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
        if node.name.startswith("_") or decorators & {"overload", "setter"}:
            continue
        if not ast.get_docstring(node):
            yield module.at(node, f"{node.name} says nothing about itself")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(module, node)


CODE = ("gateway", "plugins", "examples")
EVERYWHERE = ()


@pytest.mark.parametrize(
    ("rule", "folders"),
    [
        pytest.param(too_long, CODE, id="no module is longer than 600 lines"),
        pytest.param(named_for_nothing, EVERYWHERE, id="no module is named for nothing"),
        pytest.param(annotations_as_text, EVERYWHERE, id="annotations are real"),
        pytest.param(reads_the_time, CODE, id="only the clock reads the time"),
        pytest.param(touches_hooks, CODE, id="only hooks.py touches pluggy's hook"),
        pytest.param(keeps_state, CODE, id="no module keeps state"),
        pytest.param(undocumented, CODE, id="everything public is documented"),
    ],
)
def test_every_module_keeps_the_rule(rule, folders):
    found = [line for module in modules(*folders) for line in rule(module)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (too_long, "x = 1\n" * 601),
        (annotations_as_text, "from __future__ import annotations"),
        (reads_the_time, "import time\ntime.time()"),
        (reads_the_time, "import time as t\nstart = t.monotonic"),
        (reads_the_time, "from time import perf_counter as tick\ntick()"),
        (reads_the_time, "import datetime\ndatetime.datetime.utcnow()"),
        (reads_the_time, "from datetime import UTC, datetime\ndatetime.now(UTC)"),
        (reads_the_time, "from datetime import date as day\nday.today()"),
        (reads_the_time, "from sqlalchemy import func\nfunc.now()"),
        (touches_hooks, "def call(pm): pm.hook.sinks()"),
        (keeps_state, "cache = {}"),
        (keeps_state, "seen: set[str] = set()"),
        (keeps_state, "import collections\ncounts = collections.Counter()"),
        (keeps_state, "from collections import deque\nqueue = deque()"),
        (keeps_state, "KINDS = {}\ndef add(kind): KINDS[kind] = 1"),
        (keeps_state, "KINDS = []\ndef add(kind): KINDS.append(kind)"),
        (keeps_state, "ready = False\ndef start():\n    global ready\n    ready = True"),
        (undocumented, "x = 1"),
        (undocumented, '"""A module."""\ndef send(): ...'),
        (undocumented, '"""A module."""\nasync def send(): ...'),
        (undocumented, '"""A module."""\nclass Sink: ...'),
        (undocumented, '"""A module."""\nclass Sink:\n    """A sink."""\n    def send(self): ...'),
    ],
)
def test_a_module_that_breaks_the_rule_is_found(rule, text):
    assert list(rule(Module.of(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (too_long, "x = 1\n" * 600),
        (reads_the_time, "def at(moment): return moment.time()"),
        (reads_the_time, "import time\ntime.sleep(1)"),
        (keeps_state, '__all__ = ["Sink"]\nKINDS = {"a": 1}\n_LIMITS = [1]'),
        (keeps_state, "import logging\n_log = logging.getLogger(__name__)"),
        (keeps_state, "def found():\n    seen = []\n    seen.append(1)\n    return seen"),
        (undocumented, '"""A module."""\ndef _inside(): ...'),
        (undocumented, ""),
    ],
)
def test_a_module_that_keeps_the_rule_is_left_alone(rule, text):
    assert not list(rule(Module.of(text)))


@pytest.mark.parametrize(
    "name", ["gateway/utils.py", "tests/http_helper.py", "gateway/base/x.py", "bench/misc_tools.py"]
)
def test_a_name_that_says_nothing_is_found(name):
    assert list(named_for_nothing(Module.of("", name)))


@pytest.mark.parametrize("name", ["gateway/storage/database.py", "gateway/model/order.py"])
def test_a_name_that_says_something_is_left_alone(name):
    assert not list(named_for_nothing(Module.of("", name)))
