"""Which versions of the plugin API are spoken, and what of it will be gone."""

import pytest

from gateway.installed_plugins.faults import deprecated_faults, implemented_hooks, version_faults
from gateway.testing import inspection


@pytest.mark.parametrize("stated", [2, 3, 4])
def test_every_version_of_the_range_is_spoken(stated):
    plugin = type("Plugin", (), {"api_version": stated})

    assert list(version_faults(plugin, oldest=2, newest=4)) == []


@pytest.mark.parametrize("stated", [None, 1, 5, "2"])
def test_another_version_is_refused_with_the_range(stated):
    plugin = type("Plugin", (), {"api_version": stated})

    assert list(version_faults(plugin, oldest=2, newest=4)) == [
        (
            f"speaks plugin API version {stated}, this gateway speaks 2 to 4; install a version "
            "of the plugin that matches"
        )
    ]


def test_a_deprecated_name_is_found_with_its_place_and_what_to_use_instead(tmp_path):
    (tmp_path / "routes.py").write_text(
        "import msgspec\n\nfrom gateway.plugin import Order, old_name\n"
    )
    gone = {"old_name": "use new_name; it goes with version 1.4"}

    assert list(deprecated_faults(tmp_path, gone)) == [
        "old_name (routes.py:3) is deprecated: use new_name; it goes with version 1.4"
    ]
    assert list(deprecated_faults(tmp_path / "routes.py", gone)) != []
    assert list(deprecated_faults(tmp_path)) == []


def test_a_method_that_is_named_like_a_hook_is_found_once_it_lacks_the_mark():
    class Forgets:
        def jobs(self):
            """Bring a job that never runs."""

        lifespan = None

    assert list(inspection.unmarked_faults(Forgets)) == [
        "jobs is named like a hook and has no @hookimpl, so it is never called"
    ]
    assert implemented_hooks(Forgets) == []
