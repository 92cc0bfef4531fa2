"""The TLS settings of outgoing requests: the machine's authorities, and those of ``ca_file``."""

import ssl
import sys
from pathlib import Path

from gateway.errors import InvalidInput

_FAULT = "holds no certificate in PEM form; give the file of your authority's root certificate"


def read_authorities(pem: bytes | None) -> str | None:
    """Return the certificates in ``pem``, checked; raises ``InvalidInput`` when there is none."""
    if pem is None:
        return None
    # Where there are authorities to read: most gateways have none of their own.
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(pem)
    except ValueError:
        found = []
    if not found:
        raise InvalidInput(
            "The extra root certificates can't be read; give one or more in PEM form."
        )
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in found)


def read_ca_file(path: Path | None) -> bytes | None:
    """Read ``[delivery] ca_file``; raises ``InvalidInput`` with the remedy."""
    if path is None:
        return None
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"[delivery] ca_file can't be read ({type(error).__name__}): {path}"
        ) from None
    try:
        read_authorities(pem)
    except InvalidInput:
        raise InvalidInput(f"[delivery] ca_file {_FAULT}: {path}") from None
    return pem


def client_context(authorities: str | None) -> ssl.SSLContext | None:
    """Make the context of a client; None when the machine trusts no authority.

    Slow (it reads the machine's store): call it in a thread.
    """
    if sys.platform == "darwin" or sys.platform == "win32":
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authorities is not None:
            context.load_verify_locations(cadata=authorities)
        return context
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(cadata=authorities)
    paths = ssl.get_default_verify_paths()
    if not context.cert_store_stats()["x509_ca"] and not paths.capath:
        return None
    return context
