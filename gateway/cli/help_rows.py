"""The rows of ``gateway --help``, known without importing a command.

A test holds that they agree with the commands. Plugins declare theirs in a file of their package
(:mod:`gateway.installed_plugins.discovery`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Each command is defined in a module of the same name.
SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Set up": {
        "init": "Write an annotated gateway.toml.",
        "check": "Check configuration, plugins, database, Redis and master key.",
        "status": "Show the state of every part, and the command that helps where one is red.",
        "settings": "Show every setting as it is and where it comes from; secrets are hidden.",
        "migrate": "Update the database schema to this version; a SQLite file is backed up first.",
        "tls": "Serve HTTPS in a local network.",
    },
    "Run": {
        "serve": "Serve HTTP and deliver events until SIGTERM or Ctrl-C.",
        "worker": "Deliver events, woken through Redis, until SIGTERM or Ctrl-C.",
        "dev": "Serve on a temporary database, reload on change, show each webhook.",
        "demo": "Play an order through: it comes in, signed webhooks go out, one is retried.",
    },
    "Operate": {
        "attention": (
            "List what needs a person: failing endpoints, held orders, prescriptions to review."
        ),
        "keys": "Create, list, narrow, keep, confirm and revoke API keys.",
        "people": "Invite people, replace lost factors, end sessions.",
        "packages": "Packages: list, show, search by an exact value.",
        "events": "Events: list, show, follow.",
        "destinations": "Destinations of events, of every sink.",
        "deliveries": "Deliveries of events to endpoints: list, show, resend.",
        "files": "Photos, signatures and fax pages: list, save, revoke links, remove.",
        "inbox": "List, release and discard messages that plugins could not use.",
        "plugins": "List and check installed plugins, and begin one.",
        "seal": "Rotate the key that seals patient data and secrets.",
    },
    "Data": {
        "accounts": "Accounts: the usage of their plans.",
        "audit": "The audit trail: list, verify, reports for patients, export.",
        "storage": "Disk use and retention.",
        "backup": "Write a consistent backup of all data to FILE, while the gateway runs.",
        "restore": "Restore a backup into the configured database.",
    },
    "Shell": {"completion": "Print a completion script for your shell."},
}
CORE_ROWS: Final[Mapping[str, str]] = {
    name: text for rows in SECTIONS.values() for name, text in rows.items()
}


def plugin_rows(config: Path | None) -> Mapping[str, str] | None:
    """Return the rows that the enabled plugins declare.

    ``None`` where the plugins have to be loaded: the configuration has problems, or a plugin
    declares nothing.
    """
    from gateway.cli.opening import read_settings
    from gateway.errors import GatewayError
    from gateway.installed_plugins.discovery import declared_rows

    try:
        settings = read_settings(config)
    except GatewayError:
        return None
    if settings.plugin_problems:
        return None
    return declared_rows(settings)
