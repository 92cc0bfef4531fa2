"""What may be wrong with a plugin: each is told of in a sentence an operator can act on."""

import pytest
from core.plugins.distributions import PLUGIN, changed, loaded, registered


def problem_of(site, tmp_path, code, toml="[plugins.acme]") -> str | None:
    """Load one plugin with this code; returns what is wrong with it."""
    site.plugin("acme", code)
    _, plugins = loaded(tmp_path, toml)
    return plugins["acme"].problem


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import not_there", "can't be imported: ModuleNotFoundError: No module named 'not_there'"),
        ("raise RuntimeError('no libacme')", "can't be imported: RuntimeError: no libacme"),
        ("import sys\nsys.exit('no libacme')", "can't be imported: SystemExit: no libacme"),
        (
            changed("class Plugin:", "class Other:"),
            "can't be imported: AttributeError: module 'found_acme' has no attribute 'Plugin'",
        ),
        (
            changed("api_version = API_VERSION", "api_version = 2"),
            (
                "speaks plugin API version 2, this gateway speaks 1; "
                "install a version of the plugin that matches"
            ),
        ),
        (
            changed("    api_version = API_VERSION\n", ""),
            (
                "speaks plugin API version None, this gateway speaks 1; "
                "install a version of the plugin that matches"
            ),
        ),
        (
            changed("    Settings = Settings\n", ""),
            "has no Settings: a msgspec.Struct class attribute of that name",
        ),
        (
            changed("    Settings = Settings\n", "    Settings = dict\n"),
            "has no Settings: a msgspec.Struct class attribute of that name",
        ),
        (
            changed("self.gateway = gateway", "raise OSError('no licence')"),
            "can't be started: OSError: no licence",
        ),
        (
            changed("self.gateway = gateway", "raise SystemExit(3)"),
            "can't be started: SystemExit: 3",
        ),
        (
            changed("(self, settings, gateway)", "(self, settings)"),
            (
                "can't be started: TypeError: Plugin.__init__() takes 2 positional arguments "
                "but 3 were given"
            ),
        ),
    ],
)
def test_a_plugin_that_fails_is_reported_with_its_reason(site, tmp_path, code, problem):
    assert problem_of(site, tmp_path, code) == problem


def test_a_module_that_python_cannot_read_is_reported(site, tmp_path):
    problem = problem_of(site, tmp_path, "def (:")

    assert problem.startswith("can't be imported: SyntaxError: ")


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            "[plugins.acme]\nlimt = 3",
            "gateway.toml: [plugins.acme] limt: unknown key; did you mean limit?",
        ),
        (
            '[plugins.acme]\nlimit = "s3cret"',
            "gateway.toml: [plugins.acme] limit: expected a whole number, got text",
        ),
        (
            "[plugins.acme]\nlimit = true\npostcodes = 3",
            (
                "gateway.toml: [plugins.acme] postcodes: expected a list, got a whole number; "
                "[plugins.acme] limit: expected a whole number, got true or false"
            ),
        ),
    ],
)
def test_wrong_settings_are_reported_with_file_table_and_key(site, tmp_path, toml, problem):
    assert problem_of(site, tmp_path, PLUGIN, toml) == problem


def test_what_a_plugin_itself_says_of_its_settings_is_reported_line_by_line(site, tmp_path):
    code = changed(
        "self.gateway = gateway",
        "from gateway.plugin import Problem, SettingsError\n"
        "        raise SettingsError('two', [Problem('shop 1: no secret'), Problem('shop 2: no')])",
    )

    assert problem_of(site, tmp_path, code) == "shop 1: no secret; shop 2: no"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            changed("def events_recorded(self, events)", "def events_record(self, events)"),
            "events_record is no hook; did you mean events_recorded?",
        ),
        (
            changed("(self, events)", "(self, events, colour)"),
            "events_recorded takes colour, which the hook doesn't give: it gives events",
        ),
        (
            changed("def events_recorded", "async def events_recorded"),
            "events_recorded must be a plain function: hooks never wait",
        ),
    ],
)
def test_a_hook_that_does_not_fit_is_reported_and_the_plugin_left_out(
    site, tmp_path, code, problem
):
    site.plugin("acme", code)
    site.plugin("fine")
    hooks, plugins = loaded(tmp_path, "[plugins.acme]\n[plugins.fine]")

    assert plugins["acme"].problem.startswith("plugin acme implements a hook that doesn't fit: ")
    assert problem in plugins["acme"].problem
    assert list(registered(hooks)) == ["fine"]
    hooks.events_recorded([])
    assert hooks.failures == {}
