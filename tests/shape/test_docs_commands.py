"""Every ``gateway …`` line of the documents is a command that there is, with its options."""

import re
import shlex
from collections.abc import Iterator, Sequence

import click
import pytest
from shape.tree import named, project_files

from gateway.cli import main
from gateway.cli.opening import open_gateway
from gateway.installed_plugins.discovery import default_configuration
from gateway.sdk.cli import Session

BLOCK = re.compile(r"^ *```(?:sh|bash|powershell)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
# The generated reference has the commands' own help; the example's commands are no stock plugin's.
DOCUMENTS = [
    path
    for path in project_files()
    if path.suffix == ".md" and "docs/reference" not in named(path) and "examples" not in path.parts
]
VENDORS = {"acme-erp"}
PROGRAMS = {"gateway", "gateway.exe"}


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words behind each ``gateway`` in blocks of shell."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").replace("`\n", " ").splitlines():
            for part in re.split(r"&&|\|\||[|;>]", line):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:  # a quotation that spans lines is no command of ours
                    continue
                programs = [each for each in words if re.split(r"[/\\]", each)[-1] in PROGRAMS]
                if programs:
                    yield words[words.index(programs[0]) + 1 :]


def fault_of(words: Sequence[str], session: Session) -> str | None:
    """Return why ``gateway`` would refuse these words before it looks at anything, if it would."""
    try:
        check(words, session)
    except click.UsageError as error:
        return error.format_message()
    return None


def check(words: Sequence[str], session: Session) -> None:
    command: click.Command = main
    rest = [*words]
    context = click.Context(main, info_name="gateway", obj=session)
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith("-"):
            return  # gateway --help
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"no such command: {rest[0]}")
        command = found
        context = click.Context(command, info_name=rest.pop(0), parent=context)
    given, extra, _ = command.make_parser(context).parse_args(args=rest)
    if extra:
        raise click.UsageError(f"too many words: {extra}")
    for each in command.params:
        value = given.get(each.name)
        if each.required and not isinstance(value, str | tuple):
            raise click.UsageError(f"{each.name} is missing")
        if isinstance(each.type, click.Choice) and isinstance(value, str):
            each.type.convert(value, each, context)


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Session:
    config = tmp_path_factory.mktemp("commands") / "gateway.toml"
    config.write_text(default_configuration(), encoding="utf-8")
    return Session(open_gateway, config)


def test_every_command_of_the_documents_is_one(session):
    faults = [
        f"{named(path)}: gateway {shlex.join(words)}: {fault}"
        for path in DOCUMENTS
        for words in command_lines(path.read_text("utf-8"))
        if words[:1] and words[0] not in VENDORS and (fault := fault_of(words, session))
    ]
    assert faults == []


def test_commands_are_found_in_blocks_of_shell_only():
    text = """
Run `gateway nonsense`, or gateway nonsense.

```sh
cd shop && gateway init shop     # gateway nonsense
sudo -u rx /opt/.venv/bin/gateway csv export "a b.csv" \\
  --since 2026-01-01 > gateway.log
```

```text
gateway nonsense
```
"""
    assert list(command_lines(text)) == [
        ["init", "shop"],
        ["csv", "export", "a b.csv", "--since", "2026-01-01"],
    ]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("nonsense", "no such command: nonsense"),
        ("keys nonsense", "no such command: nonsense"),
        ("status --nonsense", "No such option '--nonsense'"),
        ("keys create till", "too many words"),
        ("endpoints add", "url is missing"),
        ("endpoints add https://x.example --format nonsense", "nonsense"),
    ],
)
def test_a_line_that_would_be_refused_is_found(session, words, fault):
    assert fault in (fault_of(words.split(), session) or "")
