"""``gateway plugins new``: the package of a plugin, green at once for each kind."""

import ast
import hashlib
import hmac
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import tomllib
import urllib.error
import urllib.request
import venv
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from core.auth.door import secret_of
from core.cli.test_plugin_work import Printed

from gateway.auth.totp import code_at, step_of
from gateway.cli.scaffold import kinds, names_of, write_plugin
from gateway.clock import SystemClock
from gateway.errors import Conflict, InvalidInput

ROOT = Path(__file__).parents[3]
KINDS = ("page", "rules", "sink", "source", "rx-writer")


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
        if name.endswith(".html"):  # a template of its own
            continue
        assert "{{" not in text.replace("${{ matrix", ""), name
        assert "{%" not in text, name
        if name.endswith(".py"):
            ast.parse(text)
    assert {
        "README.md",
        ".gitignore",
        ".github/workflows/tests.yml",
        "gateway_acme_erp/__init__.py",
        "gateway_acme_erp/gateway.commands.toml",
        "gateway_acme_erp/py.typed",
        "gateway_acme_erp/settings.py",
        "tests/test_contract.py",
    } <= set(files)
    assert ("gateway_acme_erp/migrations/acme_erp_0001.py" in files) is tables
    assert all(f"gateway_acme_erp/{each}" in files for each in _named_in(files["README.md"]))


def test_a_source_stores_an_order_before_it_answers_and_has_a_person_see_a_refused_one(tmp_path):
    """Its own tests prove it, in the long test; here that nothing of the inbox is left out."""
    written = write_plugin(names_of("acme"), kinds()["source"], tmp_path / "made", tables=False)
    [made] = [path.read_text() for path in written if path.name == "__init__.py"]
    [routes] = [path.read_text() for path in written if path.name == "routes.py"]

    inbox = "self._orders.inbox"
    for use in (f"[{inbox}]", f"{inbox}.jobs()", f"[{inbox}.attention_source()]"):
        assert use in made
    assert "await inbox.put(arrival)" in routes
    assert "accept(" not in routes


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
    """As a vendor does it: a wheel, an environment, pip install -e, pytest, check, dev."""
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

    with dispensary() as asked:
        configuration = configuration.replace("https://dispensary.example.com", asked.url)
        rx = '[plugins.rx_queue]\nwriter = "made-rx-writer"\n'
        (tmp_path / "gateway.toml").write_text(configuration + rx)
        for kind in KINDS:
            name = f"made_{kind.replace('-', '_')}"
            words = ("plugins", "check", name, "--json")
            checked = json.loads(
                run_in(tmp_path, python, "-m", "gateway", *words, MADE_SOURCE_SECRET="s3cret")
            )
            assert (checked["ok"], checked["problems"]) == (True, [])

        with dev(tmp_path, python) as printed:
            hand_in_a_first_order_of_each_kind(tmp_path, printed, asked)


def hand_in_a_first_order_of_each_kind(folder, printed, asked):
    """Of a sink and a rule gateway dev hands in one by itself; of the others it is posted here."""
    printed.wait_for("Subscribed: a destination of made-sink.")
    printed.wait_for('"kind": "package.created"', count=2)
    printed.wait_for("trace: made_rules.review_orders(orders: tuple of 2 Order) -> list of")
    [address] = re.findall(r"Ready at (\S+)", "".join(printed.lines))
    [key] = re.findall(r"An API key for it: (\S+)", "".join(printed.lines))

    body = next(folder.glob("*source*/tests/samples/order.json")).read_bytes()
    signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    headers = {"X-Made-Source-Signature": signature, "Content-Type": "application/json"}
    taken = post(f"{address}/api/made-source/orders", body, headers)
    assert taken["result"] == "stored"
    printed.wait_for('"kind": "package.created"', count=3)
    listed = httpx.get(
        f"{address}/api/packages?source=made_source", headers={"X-API-Key": key}, timeout=120
    )
    [package] = [each["id"] for each in listed.json()["packages"]]

    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    queued = post(f"{address}/api/rx", json.dumps(RX).encode(), headers)["queueId"]
    note = json.dumps({"note": "looked at"}).encode()
    with suppress(urllib.error.HTTPError):  # its rules held nothing back
        post(f"{address}/api/rx/{queued}/resolve", note, headers)
    assert asked.written.get(timeout=120)["medication"]["din"] == "02242705"

    with as_owner(printed, address) as browser:
        page = browser.get("/dashboard/made-page")
        assert page.status_code == 200
        assert package in page.text
        assert "Made Page" in browser.get(f"/dashboard/packages/{package}").text


@contextmanager
def as_owner(printed, address):
    """Set an owner up with the code that dev shows where it is, and sign in."""
    [file] = re.findall(r"enter the code in (\S+)", "".join(printed.lines))
    origin = f"http://localhost:{address.rpartition(':')[2]}"
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=origin, headers=headers, timeout=120) as browser:
        owner = {"name": "Amara Okafor", "email": "amara@x.example"}
        code = Path(file).read_text("utf-8").strip()
        begun = browser.post("/api/session/owner/begin", json={"code": code, **owner}).json()
        now = code_at(secret_of(begun["totp_secret"]), step_of(SystemClock().now()))
        chosen = {"token": begun["token"], "password": "correct bottle stable", "code": now}
        made = browser.post("/api/session/enrol", json=chosen)
        assert made.status_code == 201, made.text
        yield browser


RX = {
    "external_id": "FAX-1",
    "patient": {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01"},
    "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
    "medication": {
        "din": "02242705",
        "drug_text": "atorvastatin 20 mg tab",
        "quantity": 30,
        "days_supply": 30,
        "sig": "1 tab daily",
        "written_date": "2026-11-01",
    },
}


def post(url: str, body: bytes, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(url, method="POST", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


class Dispensary:
    """Where the writer writes: a real HTTP server that keeps what it is given."""

    def __init__(self):
        self.written: queue.Queue[Any] = queue.Queue()
        written = self.written

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                written.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object):
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def dispensary():
    made = Dispensary()
    threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@contextmanager
def dev(folder: Path, python: Path):
    """Serve with ``gateway dev``, the sink's destination subscribed to what dev shows."""
    place = "made-sink url={receiver} token=t0ken"
    with subprocess.Popen(
        [python, "-m", "gateway", "dev", "--destination", place],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {
            "GATEWAY_TRACE_PLUGINS": "1",
            "PYTHONUNBUFFERED": "1",
            "MADE_SOURCE_SECRET": "s3cret",
        },
    ) as process:
        printed = Printed(process)
        try:
            yield printed
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)
            printed.thread.join(timeout=120)
    assert process.returncode == 0, "".join(printed.lines)
