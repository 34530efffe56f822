"""The coordinator's own certificate: made once, kept, known to everybody by its hash.

The hash is what join lines carry and agents keep, so an existing certificate is never replaced here, whatever names
the machine gets later. Put your own cert.pem and key.pem in its place to use one from a certificate authority.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import ipaddress
import os
import re
import secrets
import shutil
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.private_file import check_mode, sync_folder, write_private

if TYPE_CHECKING:
    from cryptography import x509

VALID_DAYS = 3650
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(OpsconsoleError):
    """A certificate that can't be made or used."""

    code = "certificate"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """`DATA_DIR/tls/cert.pem` and `key.pem`."""

    cert: Path
    key: Path

    @classmethod
    def of(cls, data_dir: Path) -> CertificateFiles:
        """The paths in this data folder, whether or not the files exist."""
        return cls(data_dir / "tls" / "cert.pem", data_dir / "tls" / "key.pem")


def ensure_certificate(data_dir: Path, names: Iterable[str]) -> CertificateFiles:
    """The certificate of this data folder; made for `names` (host names and IP addresses) if there is none.

    Raises CertificateError where there is half of one, or none can be made.
    """
    files = CertificateFiles.of(data_dir)
    found = [path for path in (files.cert, files.key) if path.exists()]
    if not found:
        _make(files, names)
    elif len(found) == 1:
        missing = files.key if found[0] == files.cert else files.cert
        raise CertificateError(
            f"{missing} is missing: restore it, or remove {missing.parent} to get a new certificate "
            "(every agent and operator then needs a new invitation)"
        )
    return files


def fingerprint(cert_path: Path) -> str:
    """The SHA-256 of the certificate's DER form, 64 hexadecimal digits. In a file with a chain, the first one's.

    Raises CertificateError.
    """
    try:
        text = cert_path.read_text(encoding="ascii")
    except OSError as error:
        raise CertificateError(f"{cert_path} can't be read ({error.strerror}): check its owner and mode") from None
    except UnicodeDecodeError:
        text = ""
    block = _PEM.search(text)
    try:
        der = ssl.PEM_cert_to_DER_cert(block[0] if block else "")
    except ValueError:
        der = b""
    if not der:
        raise CertificateError(f"{cert_path} holds no certificate: restore it from a backup")
    return hashlib.sha256(der).hexdigest()


def server_context(files: CertificateFiles) -> ssl.SSLContext:
    """TLS 1.3 with this certificate. Raises CertificateError if cert and key can't be read or don't belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    fingerprint(files.cert)
    try:
        check_mode(files.key, files.key.stat().st_mode)
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except ssl.SSLError as error:
        wrong = "don't belong together" if error.reason == "KEY_VALUES_MISMATCH" else "can't be used"
        raise CertificateError(
            f"{files.cert} and {files.key.name} {wrong} ({error.reason or 'no key'}): restore both from a backup"
        ) from None
    except OSError as error:
        raise CertificateError(f"{files.key} can't be read ({error.strerror}): check its owner and mode") from None
    return context


def machine_names(advertise: str = "") -> list[str]:
    """What this machine may be called: the advertised host, its name, localhost, its addresses; no duplicates."""
    import psutil

    name = socket.gethostname()
    addresses = [
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return [name for name in dict.fromkeys([advertise.strip("[]"), name, "localhost", *addresses]) if name]


def _no_password() -> str:
    """Asked for by an encrypted key; without this, OpenSSL would ask on the terminal."""
    return ""


def _make(files: CertificateFiles, names: Iterable[str]) -> None:
    """Make both files in another folder and move that into place, so that there is never only one of them."""
    folder = files.cert.parent
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        cert_pem, key_pem = _self_signed(list(names))
        try:
            write_private(fresh / files.key.name, key_pem)
            write_private(fresh / files.cert.name, cert_pem)
            (fresh / files.cert.name).chmod(0o644)
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()  # an empty one, left by hand
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        sync_folder(folder.parent)
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise CertificateError(f"no certificate can be made in {folder} ({reason}): check the folder's owner") from None


def _self_signed(names: list[str]) -> tuple[str, str]:
    """A certificate on P-256 and its key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opsconsole coordinator")])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clocks differ
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    if alternatives := [name for text in names if (name := _general_name(text)) is not None]:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem.decode()


def _general_name(text: str) -> x509.GeneralName | None:
    """A name for the certificate, or None where a certificate can't hold it: an odd hostname mustn't stop a start."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError:
        return None
