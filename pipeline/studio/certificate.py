"""The certificate of HTTPS: the user's own, or a generated one for the names and addresses of this machine."""

import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError, OutputError, first_line, reason_of
from pipeline.studio.addresses import names_of
from pipeline.studio.config import StudioConfig
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import read_own

if TYPE_CHECKING:
    from cryptography import x509

# Browsers accept no more than 398 days; a new one is made a month before the end, and where an address is added.
VALID_DAYS, RENEWED_DAYS = 397, 30
_CERTIFICATE, _KEY, _MOST_BYTES = "certificate.pem", "key.pem", 2**20


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key.

    Attributes:
        chain: PEM file of the certificate.
        key: PEM file of the private key.
        fingerprint: SHA-256 of the certificate, as browsers show it.
        is_generated: whether it is ours, which browsers do not know.
    """

    chain: Path
    key: Path
    fingerprint: str
    is_generated: bool


def open_certificate(config: StudioConfig, root: Path) -> Certificate:
    """Return the certificate of the configuration, or a generated one that is kept in the studio's folder.

    Raises:
        InputError: the given one cannot be used.
        OutputError: the generated one cannot be stored.
    """
    if config.certificate is not None and config.key is not None:
        return _check(config.certificate, config.key, is_generated=False)
    chain, key = root / _CERTIFICATE, root / _KEY
    names = names_of(config)
    if not _still_fits(root, names):
        try:
            content, private = _generate(names)
            write_atomically(str(key), private, is_secret=True)
            write_atomically(str(chain), content)
        except OSError as error:
            raise OutputError(chain, f"the certificate cannot be stored ({reason_of(error)})") from error
    return _check(chain, key, is_generated=True)


def _check(chain: Path, key: Path, *, is_generated: bool) -> Certificate:
    """Return the certificate in two files.

    Raises:
        InputError: they cannot be read, or do not belong together.
    """
    for path in (chain, key):
        if not path.is_file():
            raise InputError(path, "there is no such file; give a PEM file, or leave out --certificate and --key")
    try:
        # Without a password, OpenSSL would ask for it in the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password=lambda: "")
        der = ssl.PEM_cert_to_DER_cert(_first_pem(chain.read_text("ascii")))
    except (OSError, ValueError) as error:
        reason = f"cannot be used with the key {key} ({first_line(error)}); give a PEM chain and its key, not encrypted"
        raise InputError(chain, reason) from error
    digest = hashlib.sha256(der).hexdigest().upper()
    return Certificate(chain, key, ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)), is_generated)


def _first_pem(text: str) -> str:
    end = "-----END CERTIFICATE-----"
    return text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)]


def _still_fits(root: Path, names: Sequence[str]) -> bool:
    """Return whether there is a generated certificate for all ``names`` that is valid for some time."""
    from cryptography import x509

    with suppress(OSError, ValueError, x509.ExtensionNotFound):
        found = x509.load_pem_x509_certificate(read_own(str(root), _CERTIFICATE, most_bytes=_MOST_BYTES))
        read_own(str(root), _KEY, most_bytes=_MOST_BYTES)
        covered = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {*covered.get_values_for_type(x509.DNSName)}
        known |= {str(address) for address in covered.get_values_for_type(x509.IPAddress)}
        return found.not_valid_after_utc > datetime.now(UTC) + timedelta(RENEWED_DAYS) and known.issuperset(names)
    return False


def _generate(names: Sequence[str]) -> tuple[bytes, bytes]:
    """Return a new certificate for ``names`` and its key, PEM each."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flowbrush studio")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(VALID_DAYS - 1))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _general_name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)
