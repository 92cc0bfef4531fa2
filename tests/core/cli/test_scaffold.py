"""``gateway plugins new``: the package of a plugin, green at once for each kind."""

import ast
import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from gateway.cli.scaffold import kinds, names_of, write_plugin
from gateway.errors import Conflict, InvalidInput

ROOT = Path(__file__).parents[3]
KINDS = ("rules", "sink", "source", "rx-writer")


def test_the_kinds_are_the_cores_and_those_that_plugins_bring():
    assert set(KINDS) <= set(kinds())


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("tables", [False, True], ids=["plain", "tables"])
def test_a_package_is_whole_and_its_files_can_be_read(tmp_path, kind, tables):
    names = names_of("acme-erp")
    written = write_plugin(names, kinds()[kind], tmp_path / "made", tables=tables)

    files = {path.relative_to(tmp_path / "made").as_posix(): path.read_text() for path in written}
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["entry-points"]["gateway.plugins"] == {
        "acme_erp": "gateway_acme_erp:AcmeErp"
    }
    sample = tomllib.loads(files["gateway_acme_erp/gateway.sample.toml"])
    assert list(sample["plugins"]) == ["acme_erp"]
    for name, text in files.items():
        assert "{{" not in text.replace("${{ matrix", ""), name
        assert "{%" not in text, name
        if name.endswith(".py"):
            ast.parse(text)
    assert {
        "README.md",
        ".gitignore",
        ".github/workflows/tests.yml",
        "gateway_acme_erp/__init__.py",
        "gateway_acme_erp/py.typed",
        "gateway_acme_erp/settings.py",
        "tests/test_contract.py",
    } <= set(files)
    assert ("gateway_acme_erp/migrations/acme_erp_0001.py" in files) is tables
    assert all(f"gateway_acme_erp/{each}" in files for each in _named_in(files["README.md"]))


def _named_in(readme: str) -> list[str]:
    return [
        line.split("`")[1].removeprefix("gateway_acme_erp/")
        for line in readme.splitlines()
        if line.startswith("| `")
    ]


@pytest.mark.parametrize("kind", kinds())
def test_what_is_written_is_formatted_and_has_no_unused_name(tmp_path, kind):
    for tables in (False, True):
        folder = tmp_path / str(tables)
        write_plugin(names_of("acme_erp"), kinds()[kind], folder, tables=tables)
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "100", "--target-version", "py311", str(tmp_path)]
    for words in (["check", "--select", "E,F,UP,B"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *words, *options], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "name"),
    [("acme", "acme"), ("acme-erp", "acme_erp"), ("gateway-acme", "acme"), (" Acme2 ", "acme2")],
)
def test_a_name_is_taken_in_several_forms(text, name):
    assert names_of(text).name == name


@pytest.mark.parametrize("text", ["", "2acme", "a__b", "a b", "class", "acme_", "é", "a" * 41])
def test_a_name_that_no_plugin_can_have_is_refused(text):
    with pytest.raises(InvalidInput, match="small letters, digits and single underscores"):
        names_of(text)


def test_the_name_of_an_installed_plugin_is_refused():
    with pytest.raises(Conflict, match="A plugin json_api is installed already"):
        names_of("json-api")


def test_nothing_is_overwritten(tmp_path, run):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    words = ("plugins", "new", "acme", "--kind", "rules", "--dir", str(tmp_path / "mine"))

    result = run(*words)

    assert result.exit_code == 1
    assert "isn't empty: choose another folder with --dir" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_kind_that_there_is_not_is_refused_with_the_nearest(run, tmp_path):
    result = run("plugins", "new", "acme", "--kind", "sinc", "--dir", str(tmp_path / "made"))

    assert result.exit_code == 1
    assert "There is no such kind of plugin; did you mean sink?" in result.stderr


def test_what_was_written_is_listed(read, tmp_path):
    folder = tmp_path / "made"
    made = read("plugins", "new", "acme", "--kind", "rules", "--dir", str(folder))

    assert (made["name"], made["dir"]) == ("acme", str(folder))
    assert all((folder / each).is_file() for each in made["files"])


def run_in(folder: Path, *words: object, **environ: str) -> str:
    done = subprocess.run(
        [str(each) for each in words],
        cwd=folder,
        env=os.environ | environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.long
def test_each_kind_is_installed_from_the_wheel_tested_checked_and_green(tmp_path):
    """As a vendor does it: a wheel, an environment of one's own, pip install -e, pytest, check."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    [site] = run_in(
        tmp_path, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
    ).splitlines()
    # The libraries are this environment's; the gateway itself is the wheel's, which comes first.
    here = next(each for each in sys.path if each.endswith("site-packages"))
    Path(site, "libraries.pth").write_text(here)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    run_in(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist")
    [wheel] = (tmp_path / "dist").glob("*.whl")
    run_in(tmp_path, *pip, "--force-reinstall", wheel)

    configuration = "[plugins.json_api]\n"
    folders = []
    for kind in KINDS:
        name = f"made_{kind.replace('-', '_')}"
        words = ("plugins", "new", name, "--kind", kind, "--tables", "--json")
        made = json.loads(run_in(tmp_path, python, "-m", "gateway", *words))
        folders.append(tmp_path / made["dir"])
        sample = folders[-1] / f"gateway_{name}" / "gateway.sample.toml"
        configuration += sample.read_text().replace("enabled = false", "enabled = true")
    editable = [word for folder in folders for word in ("-e", str(folder))]
    run_in(tmp_path, *pip, "--no-build-isolation", *editable)

    tests = [str(folder / "tests") for folder in folders]
    options = ["--import-mode=importlib", "-q", "-o", "asyncio_mode=auto", "-W", "error"]
    options += ["-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"]
    printed = run_in(tmp_path, python, "-m", "pytest", *options, *tests)
    assert " passed" in printed

    (tmp_path / "gateway.toml").write_text(configuration + '[plugins.rx_queue]\nwriter = "agent"\n')
    for kind in KINDS:
        name = f"made_{kind.replace('-', '_')}"
        words = ("plugins", "check", name, "--json")
        checked = json.loads(
            run_in(tmp_path, python, "-m", "gateway", *words, MADE_SOURCE_SECRET="s3cret")
        )
        assert (checked["ok"], checked["problems"]) == (True, [])
