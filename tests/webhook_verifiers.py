"""Run the verifiers that ``docs/how-to/verify-a-webhook.md`` gives to developers.

The page marks each code block with ``<!-- verifier: NAME -->``. Here a block is
taken from the page as it stands, put beside a small program from
``tests/data/verifiers/`` and started once for all cases. A case is one line on
standard input, fields separated by U+001F: format, secret, body in base64,
signature header, next signature, message id, timestamp; what a format doesn't
have is empty. The program answers ``valid`` or ``invalid``, one a line.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "verify-a-webhook.md"
PROGRAMS = Path(__file__).parent / "data" / "verifiers"

# The verifier that ScriptRun prints on its own page: scriptrun only, reads the last v1.
SCRIPTRUN_PAGE = "typescript-scriptrun-page"

_LONGEST_RUN_SECONDS = 240  # below the 300 that a fresh timestamp stays fresh

_SIGNATURE_HEADERS = {
    "scriptrun": "x-scriptrun-signature",
    "autorx": "x-autorx-signature",
    "standard": "webhook-signature",
}

# Node.js before 22.18 can't read TypeScript. The page's code uses no more of it than
# these types after a parameter or a parameter list, so taking them away makes JavaScript.
_TYPE = r": (?:string|boolean|Buffer)(?: \| Buffer)?(?=[,)]| \{)"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as a receiver got it; header names in any case, the body unparsed."""

    format: str
    secret: str
    headers: Mapping[str, str]
    body: bytes


def run_verifiers(webhooks: Sequence[Webhook]) -> dict[str, list[bool]]:
    """Ask every list-aware verifier whose runtime is here: runtime → one answer a webhook."""
    here = [runtime for runtime in RUNTIMES if missing_program(runtime) is None]
    with ThreadPoolExecutor(max_workers=len(here)) as pool:
        return dict(
            zip(here, pool.map(lambda name: run_verifier(name, webhooks), here), strict=True)
        )


def run_verifier(runtime: str, webhooks: Sequence[Webhook]) -> list[bool]:
    """Ask one verifier, a name of RUNTIMES or SCRIPTRUN_PAGE; its program runs once."""
    with tempfile.TemporaryDirectory() as folder:
        command = _PREPARE[runtime](Path(folder), verifier_source(runtime))
        lines = _run(command, Path(folder), "".join(map(_line, webhooks))).split()
    if len(lines) != len(webhooks) or not {"valid", "invalid"}.issuperset(lines):
        raise AssertionError(f"{runtime} gave {len(lines)} answers to {len(webhooks)} webhooks")
    return [line == "valid" for line in lines]


def missing_program(runtime: str) -> str | None:
    """Name what isn't installed here and would have to be, or answer None."""
    choices = _NEEDS[runtime]
    if any(all(map(shutil.which, programs)) for programs in choices):
        return None
    return " or ".join(" and ".join(programs) for programs in choices)


def verifier_source(name: str) -> str:
    """Return the code block that the page marks with ``<!-- verifier: name -->``."""
    marked = rf"^<!-- verifier: {re.escape(name)} -->\n```\w+\n(.*?)^```$"
    (source,) = re.findall(marked, PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(source)


def _line(webhook: Webhook) -> str:
    headers = {name.lower(): value for name, value in webhook.headers.items()}
    fields = (
        webhook.format,
        webhook.secret,
        base64.b64encode(webhook.body).decode(),
        headers.get(_SIGNATURE_HEADERS[webhook.format], ""),
        headers.get("x-autorx-signature-next", ""),
        headers.get("webhook-id", ""),
        headers.get("webhook-timestamp", ""),
    )
    return "\x1f".join(fields) + "\n"


def _run(command: Sequence[str], folder: Path, cases: str = "") -> str:
    # Nothing may be fetched: the verifiers need no more than what their language brings.
    quiet = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    quiet |= {"DOTNET_NOLOGO": "1", "DOTNET_CLI_TELEMETRY_OPTOUT": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | quiet,
        input=cases.encode(),
        capture_output=True,
        timeout=_LONGEST_RUN_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def _prepare_python(folder: Path, source: str) -> list[str]:
    (folder / "webhook_verifier.py").write_text(source, "utf-8")
    shutil.copy(PROGRAMS / "run.py", folder)
    return [sys.executable, "run.py"]


def _prepare_typescript(folder: Path, source: str, program: str = "run.mts") -> list[str]:
    code = source + (PROGRAMS / program).read_text("utf-8")
    if _run(["node", "-p", "Boolean(process.features.typescript)"], folder).strip() == "true":
        (folder / "verifier.mts").write_text(code, "utf-8")
        return ["node", "verifier.mts"]
    (folder / "verifier.mjs").write_text(re.sub(_TYPE, "", code), "utf-8")
    return ["node", "verifier.mjs"]


def _prepare_scriptrun_page(folder: Path, source: str) -> list[str]:
    return _prepare_typescript(folder, source, "run_scriptrun_page.mts")


def _prepare_go(folder: Path, source: str) -> list[str]:
    (folder / "go.mod").write_text("module verifier\n\ngo 1.18\n", "utf-8")
    (folder / "webhook").mkdir()
    (folder / "webhook" / "webhook.go").write_text(source, "utf-8")
    shutil.copy(PROGRAMS / "run.go", folder / "main.go")
    return ["go", "run", "."]


def _prepare_php(folder: Path, source: str) -> list[str]:
    (folder / "webhook_verifier.php").write_text(source, "utf-8")
    shutil.copy(PROGRAMS / "run.php", folder)
    return ["php", "run.php"]


def _prepare_csharp(folder: Path, source: str) -> list[str]:
    (folder / "WebhookVerifier.cs").write_text(source, "utf-8")
    shutil.copy(PROGRAMS / "Run.cs", folder)
    if shutil.which("dotnet") is None:
        _run(["mcs", "-out:run.exe", "-r:System.Core", "Run.cs", "WebhookVerifier.cs"], folder)
        return ["mono", "run.exe"]
    major = _run(["dotnet", "--version"], folder).split(".")[0]
    (folder / "run.csproj").write_text(
        '<Project Sdk="Microsoft.NET.Sdk"><PropertyGroup><OutputType>Exe</OutputType>'
        f"<TargetFramework>net{major}.0</TargetFramework><UseAppHost>false</UseAppHost>"
        "<NuGetAudit>false</NuGetAudit></PropertyGroup></Project>\n",
        "utf-8",
    )
    _run(["dotnet", "build", "--output", "built"], folder)
    return ["dotnet", "built/run.dll"]


def _prepare_bash(folder: Path, source: str) -> list[str]:
    (folder / "webhook_verifier.sh").write_text(source, "utf-8")
    shutil.copy(PROGRAMS / "run.sh", folder)
    return ["bash", "run.sh"]


_PREPARE: dict[str, Callable[[Path, str], list[str]]] = {
    "typescript": _prepare_typescript,
    "python": _prepare_python,
    "go": _prepare_go,
    "php": _prepare_php,
    "csharp": _prepare_csharp,
    "bash": _prepare_bash,
    SCRIPTRUN_PAGE: _prepare_scriptrun_page,
}

# Each runtime's choices: all programs of any one of them must be there.
_NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "typescript": (("node",),),
    "python": ((),),
    "go": (("go",),),
    "php": (("php",),),
    "csharp": (("dotnet",), ("mcs", "mono")),
    "bash": (("bash", "openssl"),),
    SCRIPTRUN_PAGE: (("node",),),
}

RUNTIMES = tuple(name for name in _PREPARE if name != SCRIPTRUN_PAGE)
