"""The coordinator's certificate: made whole, kept for ever, named by its hash."""

import datetime as dt
import hashlib
import ipaddress
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from opsconsole_coordinator.trust.certificate import (
    CertificateError,
    CertificateFiles,
    ensure_certificate,
    fingerprint,
    machine_names,
    server_context,
)
from opsconsole_protocol.host.private_file import PrivateFileError


def loaded(files: CertificateFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.cert.read_bytes())


def test_the_first_start_makes_one_and_later_starts_keep_it(tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path / "data", ["box", "10.0.0.7"])
    before = files.cert.read_bytes(), files.key.read_bytes()
    assert files == CertificateFiles(tmp_path / "data/tls/cert.pem", tmp_path / "data/tls/key.pem")
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.key.parent.stat().st_mode) == 0o700
    assert ensure_certificate(tmp_path / "data", ["renamed"]) == files
    assert (files.cert.read_bytes(), files.key.read_bytes()) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["tls"]
    assert sorted(path.name for path in files.cert.parent.iterdir()) == ["cert.pem", "key.pem"]


def test_what_is_in_it(tmp_path: Path) -> None:
    certificate = loaded(ensure_certificate(tmp_path, ["box.example.org", "10.0.0.7", "::1", "odd_näme"]))
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"
    now = dt.datetime.now(dt.UTC)
    assert certificate.not_valid_before_utc < now - dt.timedelta(hours=23)
    assert dt.timedelta(days=3640) < certificate.not_valid_after_utc - now < dt.timedelta(days=3660)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["box.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("10.0.0.7"),
        ipaddress.ip_address("::1"),
    ]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_no_name_at_all_is_no_obstacle(tmp_path: Path) -> None:
    server_context(ensure_certificate(tmp_path, []))


def test_the_hash_is_the_sha_256_of_its_der_form_also_in_a_chain(tmp_path: Path) -> None:
    files, other = ensure_certificate(tmp_path / "a", ["box"]), ensure_certificate(tmp_path / "b", ["box"])
    der = loaded(files).public_bytes(serialization.Encoding.DER)
    assert (
        fingerprint(files.cert) == hashlib.sha256(der).hexdigest() == loaded(files).fingerprint(hashes.SHA256()).hex()
    )
    assert fingerprint(files.cert) != fingerprint(other.cert)
    files.cert.write_bytes(b"# a comment\n" + files.cert.read_bytes() + other.cert.read_bytes())
    assert fingerprint(files.cert) == hashlib.sha256(der).hexdigest()
    server_context(files)


@pytest.mark.parametrize("lost", ["cert.pem", "key.pem"])
def test_half_a_certificate_is_named_and_not_replaced(tmp_path: Path, lost: str) -> None:
    files = ensure_certificate(tmp_path, ["box"])
    (files.cert.parent / lost).unlink()
    with pytest.raises(CertificateError, match=rf"{lost} is missing: restore it, or remove"):
        ensure_certificate(tmp_path, ["box"])


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    assert fingerprint(ensure_certificate(tmp_path, ["box"]).cert)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    files, other = ensure_certificate(tmp_path / "a", ["box"]), ensure_certificate(tmp_path / "b", ["box"])
    shutil.copy(other.key, files.key)
    with pytest.raises(CertificateError, match=r"cert.pem and key.pem don't belong together.*restore both"):
        server_context(files)


@pytest.mark.parametrize(
    "text", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", b"\xff"]
)
def test_a_damaged_certificate(tmp_path: Path, text: bytes) -> None:
    files = ensure_certificate(tmp_path, ["box"])
    files.cert.write_bytes(text)
    for use in (lambda: fingerprint(files.cert), lambda: server_context(files)):
        with pytest.raises(CertificateError, match=r"cert\.pem") as caught:
            use()
        assert caught.value.message.isprintable()


def test_a_damaged_or_a_locked_key(tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path, ["box"])
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"words"),
    )
    for text in (b"", b"rubbish", locked):
        files.key.write_bytes(text)
        with pytest.raises(CertificateError, match="can't be used"):
            server_context(files)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path, ["box"])
    files.key.chmod(0o640)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        server_context(files)


def test_missing_files_and_a_blocked_folder_are_one_line(tmp_path: Path) -> None:
    files = CertificateFiles.of(tmp_path)
    with pytest.raises(CertificateError, match="can't be read"):
        fingerprint(files.cert)
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="no certificate can be made in"):
        ensure_certificate(tmp_path / "file", ["box"])


def test_this_machines_names() -> None:
    names = machine_names("[2001:db8::1]")
    assert names[0] == "2001:db8::1"
    assert {"localhost", "127.0.0.1"} <= set(names)
    assert len(names) == len(set(names))
    assert all(names)
    assert "" not in machine_names()


def test_a_start_with_a_certificate_does_without_the_library_that_makes_one(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, ["box"])
    code = (
        "import sys, pathlib\n"
        "from opsconsole_coordinator.trust.certificate import *\n"
        "files = ensure_certificate(pathlib.Path(sys.argv[1]), []); fingerprint(files.cert); server_context(files)\n"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
