"""Requests and certificates, read and checked: does the chain fit the key, name the domain, and is it valid now?"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from portal.kit.errors import Invalid
from portal.kit.text import N_

if TYPE_CHECKING:
    from cryptography import x509

#: More than a request or a chain of a handful of certificates ever weighs.
LARGEST = 64 * 1024
MOST_CERTIFICATES = 10
#: Weaker RSA keys are refused, as the authorities do.
RSA_BITS = 2048
#: So long before its end a certificate is renewed.
RENEW_AHEAD = timedelta(days=30)

NO_REQUEST = N_("This is no certificate request. It begins with “-----BEGIN CERTIFICATE REQUEST-----”.")
NO_CHAIN = N_("This is no certificate. It begins with “-----BEGIN CERTIFICATE-----”.")


@dataclass(frozen=True, slots=True)
class Chain:
    """A checked chain: the certificate itself first, then those that vouch for it."""

    pem: str
    serial: str
    valid_from: datetime
    valid_until: datetime


def make(name: str, company: str, country: str) -> tuple[str, str]:
    """A new key and a request for ``name`` (as DNS writes it): the request's PEM and the key's, which is a secret."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    parts = [(NameOID.COUNTRY_NAME, country), (NameOID.ORGANIZATION_NAME, company[:64]), (NameOID.COMMON_NAME, name)]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value and len(value) <= 64])
    names = x509.SubjectAlternativeName([x509.DNSName(each) for each in _names(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    request = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return request.public_bytes(pem).decode(), plain.decode()


def _names(name: str) -> list[str]:
    """A shop is reached with and without www."""
    return [name] if name.startswith(("www.", "*.")) else [name, f"www.{name}"]


def read_request(text: str, name: str) -> str:
    """A request that the vendor made itself, as PEM; Invalid (field ``request``) when it does not do."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        request = x509.load_pem_x509_csr(_bytes(text, "request"))
        sound = request.is_signature_valid
    except (ValueError, TypeError) as error:
        raise Invalid(fields={"request": NO_REQUEST}) from error
    if not sound:
        raise Invalid(fields={"request": N_("The signature of this request is wrong. Please make it anew.")})
    if not _strong(request.public_key()):
        raise Invalid(fields={"request": N_("The key of this request is too weak: RSA of 2,048 bits at least, or EC.")})
    if not any(_covers(each, name) for each in _named(request)):
        raise Invalid(fields={"request": N_("This request does not name the domain.")})
    return request.public_bytes(serialization.Encoding.PEM).decode()


def read_chain(text: str, request_pem: str, name: str, now: datetime) -> Chain:
    """The chain that an authority gave; Invalid (field ``chain``) saying what is wrong with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        certificates = x509.load_pem_x509_certificates(_bytes(text, "chain"))
    except (ValueError, TypeError) as error:
        raise Invalid(fields={"chain": NO_CHAIN}) from error
    if not certificates or len(certificates) > MOST_CERTIFICATES:
        raise Invalid(fields={"chain": NO_CHAIN})
    leaf = certificates[0]
    _check_leaf(leaf, x509.load_pem_x509_csr(request_pem.encode()), name, now)
    _check_order(certificates)
    pem = "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)
    return Chain(pem, f"{leaf.serial_number:x}"[:64], leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def _check_leaf(leaf: "x509.Certificate", request: "x509.CertificateSigningRequest", name: str, now: datetime) -> None:
    if leaf.public_key() != request.public_key():
        raise Invalid(fields={"chain": N_("The first certificate does not belong to the key of this request.")})
    if not any(_covers(each, name) for each in _named(leaf)):
        raise Invalid(fields={"chain": N_("The first certificate does not name the domain.")})
    if leaf.not_valid_after_utc <= now:
        raise Invalid(fields={"chain": N_("This certificate has run out.")})
    if leaf.not_valid_before_utc > now + timedelta(days=1):
        raise Invalid(fields={"chain": N_("This certificate is not valid yet.")})


def _check_order(certificates: Sequence["x509.Certificate"]) -> None:
    """Each is vouched for by the next one."""
    from cryptography.exceptions import InvalidSignature

    for each, issuer in itertools.pairwise(certificates):
        try:
            each.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            message = N_("The certificates do not follow each other: the domain's own first, then who vouches for it.")
            raise Invalid(fields={"chain": message}) from error


def _named(document: Any) -> list[str]:
    """The names that a request or certificate is for; the common name counts where there are no others."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = document.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return [str(each).lower() for each in found.value.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        return [str(each.value).lower() for each in document.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        return []


def _covers(named: str, name: str) -> bool:
    """A star stands for exactly one label."""
    return named == name or (named.startswith("*.") and named[2:] == name.partition(".")[2])


def _strong(key: Any) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= 256


def _bytes(text: str, field: str) -> bytes:
    if len(text) > LARGEST:
        raise Invalid(fields={field: N_("This file is too large: 64 KB at most.")})
    return text.encode()
