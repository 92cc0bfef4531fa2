"""What holds for the core: it knows no connector, and its pages say all there is."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from shape.tree import PLUGIN_PACKAGES, ROOT, modules, named, project_files

import gateway.errors

# CSV is also the form in which the core writes reports: only the connector's own names count.
CONNECTORS: Final = ("shopify", r"plugins[./]csv", "kroll", "scriptrun", "autorx")
READABLE: Final = {".py", ".sql", ".toml", ".mako", ".html", ".css", ".md", ".txt"}
SECTIONS: Final = ("When", "Returns", "Errors", "Example", "Since")
DOOR: Final = Path(__file__).with_name("plugin_door.txt")
MOST_HOOKS: Final = 15


def connectors_named_in(text: str) -> list[str]:
    words = "|".join(CONNECTORS) + "|" + "|".join(rf"\b{name}\b" for name in PLUGIN_PACKAGES)
    return [
        f"{number}: {found.group()}"
        for number, line in enumerate(text.splitlines(), 1)
        for found in re.finditer(words, line, re.IGNORECASE)
    ]


def test_the_core_names_no_connector():
    found = [
        f"{named(path)}:{line}"
        for path in project_files()
        if path.is_relative_to(ROOT / "gateway") and path.suffix in READABLE
        # It is a pharmacy's gateway.toml and its programs, and names them as those do.
        if not path.is_relative_to(ROOT / "gateway" / "demo")
        for line in (*connectors_named_in(named(path)), *connectors_named_in(path.read_text()))
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["[plugins.csv]", "# as Shopify does", "X-ScriptRun-Event", "import gateway_webhooks"]
)
def test_a_connector_that_is_named_is_found(text: str):
    assert connectors_named_in(text)


def test_words_of_the_core_are_no_connector():
    assert not connectors_named_in('"webhook.test" goes to every webhook of [plugins.webhooks]')


def drawn_tree(text: str) -> dict[str, str | None]:
    """Read a tree drawn with ├── and └──: each name with the name it hangs from."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"^((?:[\s│]*[├└]── )|\s{4})([A-Z]\w+)", line)
        if not found:
            continue
        column, name = len(found[1]), found[2]
        path = [each for each in path if each[0] < column]
        parents[name] = path[-1][1] if path else None
        path.append((column, name))
    return parents


def test_the_tree_of_errors_is_drawn_as_it_is():
    errors = {
        each.__name__: None if each is gateway.errors.GatewayError else each.__bases__[0].__name__
        for _, each in inspect.getmembers(gateway.errors, inspect.isclass)
        if issubclass(each, Exception)
    }

    assert drawn_tree(gateway.errors.__doc__ or "") == errors


def test_a_drawing_is_read_branch_by_branch():
    drawing = """
    Root
    ├── First     is drawn
    │   └── Leaf  … with words behind
    └── Last
    """

    assert drawn_tree(drawing) == {"Root": None, "First": "Root", "Leaf": "First", "Last": "Root"}


def test_errors_are_defined_on_one_page():
    names = drawn_tree(gateway.errors.__doc__ or "")
    found = [
        module.at(node, node.name)
        for module in modules("gateway")
        if module.name != "gateway/errors.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for parent in map(ast.unparse, node.bases)
        if parent.rpartition(".")[2] in names or parent.endswith(("Error", "Exception"))
    ]

    assert not found, "\n".join(found)


def hooks() -> dict[str, str]:
    """Return each hook's docstring, by name, in the order of the page."""
    [page] = [module for module in modules("gateway") if module.name == "gateway/hookspecs.py"]
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(page.tree)
        if isinstance(node, ast.FunctionDef)
        and any("hookspec" in ast.unparse(each) for each in node.decorator_list)
    }


def sections(docstring: str) -> list[str]:
    """Return the sections that a docstring has something in, in its order."""
    return re.findall(rf"^({'|'.join(SECTIONS)}):(?: +|\n +)\S", docstring, re.MULTILINE)


@pytest.mark.parametrize(("hook", "docstring"), hooks().items(), ids=hooks())
def test_a_hook_says_when_what_errors_example_and_since(hook: str, docstring: str):
    assert sections(docstring) == list(SECTIONS), hook


def test_a_section_that_is_missing_or_empty_is_found():
    assert sections("Bring.\n\nWhen: once.\nReturns:\nErrors: stop.") == ["When", "Errors"]


def test_hooks_are_few():
    assert 0 < len(hooks()) <= MOST_HOOKS


def test_every_hook_is_called():
    [facade] = [module for module in modules("gateway") if module.name == "gateway/hooks.py"]
    strings = {node.value for node in ast.walk(facade.tree) if isinstance(node, ast.Constant)}

    assert set(hooks()) <= strings


def implemented_or_called_in_tests() -> Iterator[str]:
    for module in modules("tests"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef) and node.args.args[:1]:
                yield node.name
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield node.func.attr


def test_the_root_of_the_core_has_ten_modules_at_most():
    at_root = {each.stem for each in (ROOT / "gateway").glob("*.py")} - {"__init__", "__main__"}

    assert len(at_root) <= 10, sorted(at_root)


def test_every_hook_is_tried_by_some_test():
    assert set(hooks()) - set(implemented_or_called_in_tests()) == set()


def test_the_plugin_door_is_as_wide_as_agreed():
    """A change here is a change for every plugin: write it into CHANGELOG.md too."""
    door = importlib.import_module("gateway.plugin")

    assert sorted(door.__all__) == DOOR.read_text("utf-8").splitlines()


def test_every_name_at_the_plugin_door_has_its_entry_in_the_reference():
    door = importlib.import_module("gateway.plugin")
    index = (ROOT / "docs/reference/plugin-api.md").read_text("utf-8")
    pages = {
        each.name: each.read_text("utf-8")
        for each in (ROOT / "docs/reference").glob("plugin-api-*.md")
    }
    entries = {
        name: file
        for file, page in pages.items()
        for name in re.findall(r"^### (\S+)$", page, re.MULTILINE)
    }
    linked = dict(re.findall(r"\[`(\S+)`\]\((\S+?)#", index))

    assert sum(page.count("\n### ") for page in pages.values()) == len(door.__all__)
    assert sorted(entries) == sorted(door.__all__)
    assert linked == entries
    assert set(door.SINCE) <= set(door.__all__)
    assert not [file for file, page in pages.items() if "<object at" in page]


def test_everything_at_the_plugin_door_is_there_once():
    door = importlib.import_module("gateway.plugin")

    assert len(set(door.__all__)) == len(door.__all__)
    assert not [name for name in door.__all__ if not hasattr(door, name)]
