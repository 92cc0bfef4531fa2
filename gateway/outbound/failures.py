"""Failures of requests: one word for each kind, and a sentence for people.

The words are in the delivery log, the API and the application log; the sentences explain
them in the same places and in ``docs/how-to/find-a-missing-webhook.md``.
"""

import errno
import ssl
from typing import Final, Literal

Failure = Literal[
    "timeout",
    "connect",
    "dns",
    "tls",
    "tls_expired",
    "tls_not_yet_valid",
    "tls_self_signed",
    "tls_unknown_issuer",
    "tls_wrong_host",
    "tls_old_protocol",
    "tls_not_spoken",
    "tls_client_certificate",
    "tls_no_authorities",
    "closed_early",
    "bad_answer",
    "body_cut",
    "body_invalid",
    "body_late",
    "bad_request",
    "refused_address",
    "proxy",
    "unreachable",
    "stopped",
]

EXPLANATIONS: Final[dict[str, str]] = {
    "timeout": "no complete answer before the deadline; the receiver is slow or hangs",
    "connect": "no connection: the server is down, or a firewall is in between",
    "dns": "the host name has no address, or the name server did not answer",
    "tls": "the TLS handshake failed; the server closed it or refused the cipher suites offered",
    "tls_expired": "the server's certificate has expired; its owner has to renew it",
    "tls_not_yet_valid": "the server's certificate is not valid yet; check the clock of both sides",
    "tls_self_signed": "the server's certificate is self-signed; install one of a public "
    "authority, or name it in [delivery] ca_file",
    "tls_unknown_issuer": "no trusted authority vouches for the certificate: the server leaves its "
    "intermediate certificate out, or a private authority issued it (see [delivery] ca_file)",
    "tls_wrong_host": "the server's certificate is for another host name; correct the URL or the "
    "certificate",
    "tls_old_protocol": "the server speaks no TLS 1.2 or newer; it has to be updated",
    "tls_not_spoken": "the server does not speak TLS on this port; check the port of the URL",
    "tls_client_certificate": "the server asks for a client certificate, and the gateway has "
    "none; the receiver has to accept requests without one",
    "tls_no_authorities": "this machine trusts no certificate authority; install its "
    "ca-certificates package",
    "closed_early": "the server closed the connection before it answered",
    "bad_answer": "what came back is not HTTP, or its head has more than 64 KB",
    "body_cut": "the status arrived, then the connection ended before the end of the body",
    "body_invalid": "the status arrived, then a body whose length or chunks make no sense",
    "body_late": "the status arrived, but the body did not end before the deadline",
    "bad_request": "one of the endpoint's own headers cannot be sent; correct it",
    "refused_address": "the host resolves to an address that may not be called (private, loopback, "
    "metadata …); see [delivery] allow_networks",
    "proxy": "the proxy of [delivery] proxy did not open a connection to the receiver",
    "unreachable": "no answer; why is shown only for endpoints that the operator added, as this "
    "one is in a network of [delivery] allow_networks (see trusted_accounts there)",
    "stopped": "the gateway was stopped during the request",
    "sink_failed": "the sink plugin raised an error; see the log",
    "no_outcome": "the sink plugin returned no outcome for this delivery",
    "removed": "the endpoint was removed before the delivery went out",
    "filtered": "a filter of the endpoint keeps the event back, so nothing was sent",
    "paused": "the endpoint is paused; gateway endpoints enable ID resumes it",
    "disabled": "the endpoint is disabled; gateway endpoints enable ID enables it",
    "breaker_open": "the endpoint kept failing, so that only a probe goes out now and then; "
    "gateway endpoints enable ID closes the circuit breaker at once",
}
"""A sentence for each word in the delivery log, to follow "it failed: …"."""


def explanation(error: str | None) -> str | None:
    """Return the sentence for an error word; None for a word of another program."""
    return None if error is None else EXPLANATIONS.get(error)


# OpenSSL's X509_V_ERR_* (https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/)
_VERIFY_CODES: Final[dict[int, Failure]] = {
    2: "tls_unknown_issuer",
    9: "tls_not_yet_valid",
    10: "tls_expired",
    18: "tls_self_signed",
    19: "tls_unknown_issuer",
    20: "tls_unknown_issuer",
    21: "tls_unknown_issuer",
    62: "tls_wrong_host",
    64: "tls_wrong_host",
}
_REASONS: Final[dict[str, Failure]] = {
    "WRONG_VERSION_NUMBER": "tls_not_spoken",
    "HTTP_REQUEST": "tls_not_spoken",
    "PACKET_LENGTH_TOO_LONG": "tls_not_spoken",
    "RECORD_LAYER_FAILURE": "tls_not_spoken",
    "UNEXPECTED_MESSAGE": "tls_not_spoken",
    "UNSUPPORTED_PROTOCOL": "tls_old_protocol",
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls_old_protocol",
    "NO_PROTOCOLS_AVAILABLE": "tls_old_protocol",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "tls_client_certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "tls_client_certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "tls_client_certificate",
}


def connect_failure(error: BaseException) -> Failure:
    """Return the word for a failed TCP connection."""
    if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
        return "timeout"
    return "connect"


def tls_failure(error: BaseException | None) -> Failure:
    """Return the word for a failed TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, "tls")
    if isinstance(error, ssl.SSLError):
        return _REASONS.get(error.reason or "", "tls")
    return "tls"


def lost_failure(cause: BaseException | None) -> Failure:
    """Return the word for a connection that ended early, also by a late TLS 1.3 alert."""
    named = tls_failure(cause) if isinstance(cause, ssl.SSLError) else "tls"
    return "closed_early" if named == "tls" else named
