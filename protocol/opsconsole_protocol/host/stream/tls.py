"""TLS for streams: a certificate that lives as long as the process, and clients that know whom they expect."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import ssl
import threading
from dataclasses import dataclass
from functools import cache

from opsconsole_protocol.stream.upgrade import ALPN

_VALID = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
"""Nobody looks at it: clocks differ, and the hash says whose it is."""
_MAKING = threading.Lock()


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """This process's certificate: how to show it, and the SHA-256 of its DER form."""

    context: ssl.SSLContext
    certificate_hash: str


def own_certificate() -> OwnCertificate:
    """The certificate of this process, made on the first call; its key is in memory only."""
    with _MAKING:
        return _own_certificate()


@cache
def pinning_context() -> ssl.SSLContext:
    """For a client that compares the certificate's hash itself: names and dates in the certificate add nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@cache
def coordinator_context(*, is_pinned: bool) -> ssl.SSLContext:
    """For a client of the coordinator's port: offers the protocol of streams. Unpinned, it trusts what the system trusts."""
    context = ssl.create_default_context()
    if is_pinned:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    return context


def shows(sock: ssl.SSLSocket, certificate_hash: str) -> bool:
    """Whether the other end has shown the certificate with this hash."""
    shown = sock.getpeercert(binary_form=True) or b""
    return hmac.compare_digest(hashlib.sha256(shown).hexdigest(), certificate_hash)


@cache
def _own_certificate() -> OwnCertificate:
    pem, certificate_hash = _self_signed()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody comes back with one
    memory = os.memfd_create("certificate", os.MFD_CLOEXEC)  # the one thing that OpenSSL takes and that is on no disk
    try:
        os.write(memory, pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return OwnCertificate(context, certificate_hash)


def _self_signed() -> tuple[bytes, str]:
    """A certificate on P-256 and its key as PEM, and its hash."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opsconsole stream")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID[0])
        .not_valid_after(_VALID[1])
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return certificate.public_bytes(serialization.Encoding.PEM) + key_pem, hashlib.sha256(der).hexdigest()
