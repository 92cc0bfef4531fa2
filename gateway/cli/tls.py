"""``gateway tls …``: HTTPS in a local network without a proxy or a public certificate."""

import sys

import click

from gateway.cli.opening import read_settings
from gateway.clock import SystemClock
from gateway.http import local_ca
from gateway.sdk.cli import Session, command


@click.group("tls")
def tls() -> None:
    """Serve HTTPS in a local network."""


@command("init")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--new-ca", is_flag=True, help="Make another CA; every device has to trust it.")
async def init(session: Session, *, names: tuple[str, ...], new_ca: bool) -> None:
    """Make a local CA and a certificate for NAME..., in the folder tls of data_dir.

    NAME is a host name or an IP address under which other machines reach this one. The
    server renews the certificate itself. Devices trust it once they trust ca.pem.
    """
    settings = read_settings(session.config)
    folder = settings.gateway.data_dir / "tls"
    if new_ca:
        for name in ("ca.pem", "ca-key.pem"):
            (folder / name).unlink(missing_ok=True)
    issued = local_ca.issue(folder, names, SystemClock().now())
    session.record(
        {
            "tls_cert": str(issued.cert),
            "tls_key": str(issued.key),
            "ca": str(issued.ca),
            "names": list(issued.names),
            "expires_at": issued.expires_at.isoformat(),
            "ca_sha256": issued.ca_fingerprint,
        }
    )
    session.say(_next_steps(issued))


def _next_steps(issued: local_ca.Issued) -> str:
    ca = issued.ca
    https_name = issued.names[0]
    trust = {
        "win32": f"certutil -addstore -f Root {ca}   (as administrator)",
        "darwin": "sudo security add-trusted-cert -d -r trustRoot "
        f"-k /Library/Keychains/System.keychain {ca}",
    }.get(
        sys.platform,
        f"sudo cp {ca} /usr/local/share/ca-certificates/rx-gateway.crt && "
        "sudo update-ca-certificates",
    )
    return f"""
Put into gateway.toml, then restart gateway serve:

  [gateway]
  public_url = "https://{https_name}:8080"
  [http]
  tls_cert = "{issued.cert.as_posix()}"
  tls_key = "{issued.key.as_posix()}"

Trust the CA on this machine:

  {trust}

and copy ca.pem (never ca-key.pem) to the other devices:

  Windows   double-click, Install Certificate, Local Machine, Trusted Root Certification Authorities
  macOS     double-click, then Always Trust it in Keychain Access
  iOS       open it, install it under Settings > General > VPN & Device Management, then switch it
            on under Settings > General > About > Certificate Trust Settings
  Android   Settings > Security > Encryption & credentials > Install a certificate > CA certificate

docs/how-to/serve-https.md has each step. Compare the fingerprint before you trust it."""


tls.add_command(init)
