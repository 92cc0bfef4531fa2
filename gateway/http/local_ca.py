"""A certificate authority of one's own, for HTTPS in a local network.

``folder`` holds four PEM files: ``ca.pem``, which every client has to trust, ``ca-key.pem``,
``cert.pem`` and ``key.pem``. The authority is limited to the given names, to private
addresses and to names that exist in local networks only (RFC 5280, 4.2.1.10), so its
key can't be used against other sites. Its certificates are valid for 90 days and are
renewed 30 days before their end by the server that uses them.
"""

import contextlib
import ipaddress
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import ConfigurationError, InvalidInput

_CA_DAYS: Final = 3650
_CERT_DAYS: Final = 90
_RENEW_DAYS: Final = 30
_MAX_NAMES: Final = 50
# Clocks of clients may be slow.
_BACKDATED: Final = timedelta(hours=24)
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
# https://www.iana.org/assignments/special-use-domain-names ; .lan is what many routers use.
_LOCAL_DOMAINS: Final = ("localhost", "local", "lan", "internal", "home.arpa", "test")
_LOCAL_NETWORKS: Final = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
    "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip


class Issued(NamedTuple):
    """A certificate of the local authority, and where its files are."""

    cert: Path
    key: Path
    ca: Path
    names: tuple[str, ...]
    expires_at: datetime
    ca_fingerprint: str
    is_new_ca: bool


def issue(folder: Path, names: Sequence[str], now: datetime) -> Issued:
    """Make a certificate for ``names``, and the authority if ``folder`` has none.

    Raises ``InvalidInput`` for an invalid host name or address, and ``ConfigurationError`` when the
    existing authority doesn't allow a name.
    """
    wanted = tuple(dict.fromkeys([*map(_checked, names), *_ALWAYS]))
    if len(wanted) > _MAX_NAMES:
        raise InvalidInput(f"A certificate takes at most {_MAX_NAMES} names.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
    is_new = not (folder / "ca.pem").exists()
    if is_new:
        _make_authority(folder, wanted, now)
    certificate = _sign(folder, wanted, now)
    authority = _read_certificate(folder / "ca.pem")
    return Issued(
        cert=folder / "cert.pem",
        key=folder / "key.pem",
        ca=folder / "ca.pem",
        names=wanted,
        expires_at=certificate.not_valid_after_utc,
        ca_fingerprint=authority.fingerprint(hashes.SHA256()).hex(":").upper(),
        is_new_ca=is_new,
    )


def renew_if_due(cert: Path, now: datetime) -> bool:
    """Renew ``cert`` if it ends within 30 days and its authority is in the same folder.

    Its key stays, so that a reader never finds a certificate and a key that don't match. Raises
    ``OSError`` or ``ValueError`` for files that can't be read or written.
    """
    folder = cert.parent
    if cert.name != "cert.pem" or not (folder / "ca-key.pem").exists():
        return False
    present = _read_certificate(cert)
    if present.not_valid_after_utc - now > timedelta(days=_RENEW_DAYS):
        return False
    if present.issuer != _read_certificate(folder / "ca.pem").subject:
        return False
    _sign(folder, names_of(present), now)
    return True


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names and addresses of a certificate."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return tuple(str(each.value) for each in extension.value)


def _make_authority(folder: Path, names: Sequence[str], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    common_name = f"rx-gateway local CA {os.urandom(3).hex()}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.NameConstraints(list(_permitted(names)), None), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_private(folder / "ca-key.pem", _key_pem(key))
    _write_public(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _permitted(names: Sequence[str]) -> Iterator[x509.GeneralName]:
    for domain in _LOCAL_DOMAINS:
        yield x509.DNSName(domain)
    for network in _LOCAL_NETWORKS:
        yield x509.IPAddress(ipaddress.ip_network(network))
    for name in names:
        if not _is_allowed(name, _LOCAL_DOMAINS, map(ipaddress.ip_network, _LOCAL_NETWORKS)):
            general = _general(name)
            yield (
                x509.IPAddress(ipaddress.ip_network(general.value))
                if isinstance(general, x509.IPAddress)
                else general
            )


def _is_allowed(name: str, domains: Sequence[str], networks: Iterator[object]) -> bool:
    general = _general(name)
    if isinstance(general, x509.IPAddress):
        return any(general.value in network for network in networks)  # type: ignore[operator]
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)


def _sign(folder: Path, names: Sequence[str], now: datetime) -> x509.Certificate:
    authority = _read_certificate(folder / "ca.pem")
    _check_allowed(authority, names)
    ca_key = _read_key(folder / "ca-key.pem")
    key_path = folder / "key.pem"
    if not key_path.exists():
        _write_private(key_path, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    key = _read_key(key_path)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - _BACKDATED, authority.not_valid_before_utc))
        .not_valid_after(min(now + timedelta(days=_CERT_DAYS), authority.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_public(folder / "cert.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def _check_allowed(authority: x509.Certificate, names: Sequence[str]) -> None:
    limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = limits.permitted_subtrees or ()
    domains = [each.value for each in permitted if isinstance(each, x509.DNSName)]
    networks = [each.value for each in permitted if isinstance(each, x509.IPAddress)]
    refused = [name for name in names if not _is_allowed(name, domains, iter(networks))]
    if refused:
        raise ConfigurationError(
            f"The local CA was not made for {', '.join(refused)}. Run the command again with "
            "--new-ca, and let every device trust the new ca.pem."
        )


def _checked(name: str) -> str:
    """Return a host name in lower case and ASCII, or an address."""
    plain = name.strip().strip("[]").rstrip(".").lower()
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(plain))
    try:
        ascii_name = plain.encode("idna").decode()
    except UnicodeError:
        ascii_name = ""
    labels = ascii_name.split(".")
    if not ascii_name or not all(
        label.replace("-", "").replace("_", "").isalnum() for label in labels
    ):
        raise InvalidInput(
            f"{name} is no host name or IP address; leave out https://, ports and wildcards."
        )
    return ascii_name


def _general(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read_certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} is no elliptic curve key")  # noqa: TRY004 - a file's content
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_private(path: Path, content: bytes) -> None:
    _replace(path, content, 0o600)


def _write_public(path: Path, content: bytes) -> None:
    _replace(path, content, 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a new file and rename it, so that a reader finds the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
