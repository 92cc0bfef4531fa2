"""What holds for every stock plugin: one shape, one door, no privilege."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from shape.tree import PLUGIN_FOLDERS, PLUGIN_PACKAGES, ROOT, Module, imported_modules, modules

DOOR: Final = "gateway.plugin"
DOOR_OF_TESTS: Final = "gateway.testing"
# A hook takes five lines; a plugin that has nearly all of them stays below this.
MAX_INIT_LINES: Final = 100
EVERY_PLUGIN_HAS: Final = (
    *("__init__.py", "settings.py", "schema.py"),
    *("gateway.sample.toml", "gateway.commands.toml", "py.typed"),
)
# What a plugin that only asks or only sends has one of; most have both.
INPUT_AND_OUTPUT: Final = ("routes.py", "sender.py")


def package_of(module: Module) -> str:
    return next((part for part in Path(module.name).parts if part in PLUGIN_PACKAGES), "")


def wrong_imports(module: Module) -> Iterator[str]:
    """Yield what a plugin's module imports from the project past the door."""
    own = package_of(module)
    doors = {DOOR} if own else {DOOR, DOOR_OF_TESTS}
    for node, name in imported_modules(module):
        root = name.partition(".")[0]
        foreign = root in PLUGIN_PACKAGES and bool(own) and root != own
        if foreign or (root == "gateway" and name not in doors):
            yield module.at(node, name)


def test_plugins_come_in_through_the_one_door():
    found = [
        line
        for module in modules("plugins", "examples")
        for line in wrong_imports(module)
        if package_of(module) or "/tests/" in f"/{module.name}"
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import gateway",
        "from gateway import plugin",
        "from gateway.model.order import Order",
        "def late():\n    import gateway.storage.schema",
        "from gateway.testing import GatewayHarness",
        "import gateway_json_api",
    ],
)
def test_a_plugin_that_takes_another_way_is_found(text: str):
    module = Module.of(text, "plugins/webhooks/gateway_webhooks/mapping.py")

    assert list(wrong_imports(module))


def test_a_plugin_may_import_the_door_itself_and_the_world():
    text = "from gateway.plugin import Order\nfrom gateway_webhooks.schema import X\nimport csv"

    assert not list(wrong_imports(Module.of(text, "plugins/webhooks/gateway_webhooks/routes.py")))


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_has_the_shape_that_all_have(folder: Path):
    package = folder / f"gateway_{folder.name}"
    missing = [name for name in EVERY_PLUGIN_HAS if not (package / name).is_file()]

    assert missing == []
    assert [name for name in INPUT_AND_OUTPUT if (package / name).is_file()]


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_the_folder_of_a_plugin_is_no_package(folder: Path):
    # plugins/csv/__init__.py would hide the standard library's csv.
    assert not (folder.parent / "__init__.py").exists()
    assert not (folder / "__init__.py").exists()


def more_than_hooks(module: Module) -> Iterator[str]:
    """Yield what a plugin's front page has besides imports, its class and its hooks."""
    lines = len(module.text.splitlines())
    if lines > MAX_INIT_LINES:
        yield f"{module.name} has {lines} lines"
    classes = [node for node in module.tree.body if isinstance(node, ast.ClassDef)]
    if len(classes) != 1:
        yield f"{module.name} has {len(classes)} classes"
    for node in module.tree.body:
        exports = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (exports or words or isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef)):
            yield module.at(node, "is neither an import nor the plugin")
    for node in (inner for each in classes for inner in each.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
            marks = [ast.unparse(each) for each in node.decorator_list]
            if not any(mark.startswith("hookimpl") for mark in marks):
                yield module.at(node, f"{node.name} implements no hook")


@pytest.mark.parametrize("name", PLUGIN_PACKAGES)
def test_the_front_page_of_a_plugin_has_hook_implementations_only(name: str):
    [page] = [each for each in modules("plugins") if each.name.endswith(f"/{name}/__init__.py")]
    found = list(more_than_hooks(page))

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "class A: ...\nclass B: ...",
        "class A: ...\ndef send(): ...",
        "class A:\n    def send(self): ...",
        "class A: ...\n" + "\n" * MAX_INIT_LINES,
    ],
)
def test_a_front_page_with_more_on_it_is_found(text: str):
    assert list(more_than_hooks(Module.of(text)))


def test_a_front_page_with_a_plugin_on_it_is_left_alone():
    text = '''"""Orders from Acme."""
from gateway.plugin import hookimpl

__all__ = ["Acme"]

class Acme:
    """The plugin."""

    api_version = 1

    def __init__(self, settings, gateway): ...

    @hookimpl
    def http_routers(self): ...
'''

    assert not list(more_than_hooks(Module.of(text)))


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_is_built_installed_linted_and_measured(folder: Path):
    name = f"gateway_{folder.name}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    tool = project["tool"]
    contracts = {each["id"]: each for each in tool["importlinter"]["contracts"]}

    assert folder.name in project["project"]["entry-points"]["gateway.plugins"]
    assert f"plugins/{folder.name}/{name}" in tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert name in tool["coverage"]["run"]["source_pkgs"]
    assert name in tool["mypy"]["packages"]
    assert f"plugins/{folder.name}" in tool["mypy"]["mypy_path"]
    assert name in tool["importlinter"]["root_packages"]
    assert name in contracts["no-plugin-in-core"]["forbidden_modules"]
    assert name in contracts["one-door"]["source_modules"]
    assert name in contracts["plugins-apart"]["modules"]
