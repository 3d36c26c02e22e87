"""Certificates by staff: the request and its key, the chain and what is wrong with it, renewing in time."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from flask import Flask

from portal.addons import certificate_rules as rules
from portal.addons import certificates, provisioning_queries
from portal.addons.models import Certificate, ProvisioningStep
from portal.addons.rules import AddonStatus, RunKind
from portal.audit.models import AuditEntry
from portal.kit import actor, clock, crypto, jobs
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound, PortalError
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from tests.addons import factory
from tests.support import people
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
SAM = actor.staff(77, "Sam Staff")
NOW = Travel.START
PEM = serialization.Encoding.PEM


@pytest.fixture
def ada(catalog: Flask) -> Someone:
    who = people.register(tier=None)
    jobs.run_all()
    return who


class Authority:
    """A root, and an intermediate that signs what is ordered."""

    def __init__(self, now: datetime = NOW) -> None:
        self.key, self.root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.name, root = _name("Trusty Intermediate"), _name("Trusty Root")
        builder = _builder(self.name, root, self.key.public_key(), now - timedelta(days=9), now + timedelta(days=3650))
        ca = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = builder.add_extension(ca, critical=True).sign(self.root_key, hashes.SHA256())

    def issue(self, request_pem: str, names: list[str], start: datetime, end: datetime, **more: Any) -> str:
        """The chain for a request: the domain's own certificate first."""
        request = x509.load_pem_x509_csr(request_pem.encode())
        key = more.get("key", request.public_key())
        builder = _builder(_name(names[0]), self.name, key, start, end)
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        leaf = builder.add_extension(alternative, critical=False).sign(self.key, hashes.SHA256())
        chain = [leaf, more.get("issuer", self.certificate)]
        return "".join(each.public_bytes(PEM).decode() for each in chain)


def _name(words: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, start: datetime, end: datetime) -> Any:
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    )  # fmt: skip


def ordered(who: Someone, **config: Any) -> tuple[int, int]:
    """An add-on whose setting up has begun: (add-on, run)."""
    product = factory.product("certificate", grants={"certificates": 1})
    addon_id = factory.addon(who.vendor_id, product, **config)
    run_id = factory.begin(addon_id)
    jobs.run_all()
    return addon_id, run_id


KILIM: dict[str, Any] = {"name": "kilim.example", "shown": "kilim.example", "company": "Kilim GmbH", "country": "DE"}


def issued(who: Someone, end: datetime) -> tuple[int, int, str]:
    """An add-on with its certificate: (add-on, run, the chain)."""
    addon_id, run_id = ordered(who, **KILIM)
    (waiting,) = certificates.of_addon(who.vendor_id, addon_id)
    chain = Authority().issue(waiting.request_pem, ["kilim.example"], NOW - timedelta(days=1), end)
    with unit_of_work():
        certificates.deliver(run_id, chain, actor=SAM, now=clock.business())
    jobs.run_all()
    return addon_id, run_id, chain


def test_details_become_a_request_and_the_key_is_sealed(ada: Someone) -> None:
    addon_id, run_id = ordered(ada, **KILIM)
    assert factory.states(run_id) == ["done", "waiting_staff"]
    row = db.session.query(Certificate).one()
    request = x509.load_pem_x509_csr(row.request_pem.encode())
    subject = {a.oid: a.value for a in request.subject}
    assert subject[NameOID.ORGANIZATION_NAME] == "Kilim GmbH"
    assert subject[NameOID.COUNTRY_NAME] == "DE"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kilim.example", "www.kilim.example"]
    assert row.private_key is not None
    assert "PRIVATE" not in row.private_key
    key = crypto.unseal(row.private_key, bound_to=f"certificates.private_key:{row.id}")
    assert serialization.load_pem_private_key(key.encode(), None).public_key() == request.public_key()
    with pytest.raises(crypto.CannotOpenError):
        crypto.unseal(row.private_key, bound_to=f"certificates.private_key:{row.id + 1}")
    everything = [str(r) for t in ("outbox_jobs", "provisioning_steps", "provisioning_log", "audit_log")
                  for r in db.session.execute(db.text(f"SELECT * FROM {t}"))]  # fmt: skip
    assert not any("PRIVATE KEY" in text for text in everything)
    assert addon_id == row.vendor_addon_id


def test_without_details_it_waits_for_the_vendor_and_goes_on_at_once(ada: Someone) -> None:
    addon_id, run_id = ordered(ada)
    assert factory.states(run_id) == ["waiting_vendor", "todo"]
    assert [m.recipient for m in db.session.query(SentMail).filter_by(kind="addon_needs_you")] == [ada.email]
    with unit_of_work():
        certificates.take_details(
            ada.vendor_id, addon_id, "kilim.example", "kilim.example", "Kilim GmbH", "DE", now=clock.business()
        )
    jobs.run_all()
    assert factory.states(run_id) == ["done", "waiting_staff"]
    with unit_of_work(), pytest.raises(Conflict):
        certificates.take_details(ada.vendor_id, addon_id, "b.example", "b.example", "B", "DE", now=clock.business())


def test_while_the_vendor_is_waited_for_we_are_not_late(ada: Someone, travel: Travel) -> None:
    addon_id, run_id = ordered(ada)
    for _ in range(3):
        travel.on(days=2)
        factory.tend()
    assert db.session.query(SentMail).filter_by(kind="addon_late").count() == 0
    assert db.session.query(SentMail).filter_by(kind="addon_needs_you").count() == 1, "asked once"
    with unit_of_work():
        certificates.take_details(
            ada.vendor_id, addon_id, "kilim.example", "kilim.example", "Kilim GmbH", "DE", now=clock.business()
        )
    jobs.run_all()
    promised = factory.run_row(run_id).promised_at
    # Our 48 hours begin when everything is here.
    assert promised is not None
    assert round((promised - clock.business()) / timedelta(hours=1)) == 48


def test_a_request_of_ones_own_needs_no_key_here(ada: Someone) -> None:
    addon_id, run_id = ordered(ada)
    request, _key = rules.make("kilim.example", "Kilim GmbH", "DE")
    with unit_of_work():
        certificates.take_request(ada.vendor_id, addon_id, request, "kilim.example", now=clock.business())
    jobs.run_all()
    assert factory.states(run_id) == ["done", "waiting_staff"]
    (found,) = certificates.of_addon(ada.vendor_id, addon_id)
    assert (found.has_key, found.request_pem) == (False, request)


def weak() -> str:
    key = rsa.generate_private_key(65537, 1024)
    return str(
        x509.CertificateSigningRequestBuilder().subject_name(_name("kilim.example")).sign(key, hashes.SHA256())
        .public_bytes(PEM).decode()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no certificate request"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "no certificate request"),
        (rules.make("other.example", "Other", "DE")[0], "does not name the domain"),
        (weak(), "too weak"),
        ("x" * (rules.LARGEST + 1), "too large"),
    ],
)
def test_a_request_that_does_not_do_is_refused_at_its_field(ada: Someone, text: str, why: str) -> None:
    addon_id, run_id = ordered(ada)
    with unit_of_work(), pytest.raises(Invalid) as refused:
        certificates.take_request(ada.vendor_id, addon_id, text, "kilim.example", now=clock.business())
    assert why in refused.value.fields["request"]
    assert factory.states(run_id)[0] == "waiting_vendor"


def test_the_chain_makes_it_ready(ada: Someone) -> None:
    addon_id, run_id, chain = issued(ada, NOW + timedelta(days=365))
    assert factory.states(run_id) == ["done", "done"]
    assert ("The certificate was handed in.", SAM.label) in [
        (line.message, line.by) for line in provisioning_queries.log_of_run(run_id)
    ]
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE
    (found,) = certificates.of_addon(ada.vendor_id, addon_id)
    assert found.chain_pem == chain
    assert found.valid_until == (NOW + timedelta(days=365)).replace(microsecond=0)
    with unit_of_work(), pytest.raises(Conflict):
        certificates.deliver(run_id, chain, actor=SAM, now=clock.business())


def wrong_chains() -> list[tuple[str, str]]:
    """(what is wrong, words of the refusal)"""
    return [
        ("another key", "does not belong to the key"),
        ("another domain", "does not name the domain"),
        ("star two labels up", "does not name the domain"),
        ("run out", "has run out"),
        ("not yet", "not valid yet"),
        ("strangers", "do not follow each other"),
        ("nothing", "no certificate"),
    ]


def made_wrong(wrong: str, request_pem: str) -> str:
    authority, year = Authority(), NOW + timedelta(days=365)
    if wrong == "another key":
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        return authority.issue(request_pem, ["kilim.example"], NOW, year, key=key)
    if wrong == "another domain":
        return authority.issue(request_pem, ["other.example"], NOW, year)
    if wrong == "star two labels up":
        return authority.issue(request_pem, ["*.example.com"], NOW, year)
    if wrong == "run out":
        return authority.issue(request_pem, ["kilim.example"], NOW - timedelta(days=90), NOW - timedelta(days=1))
    if wrong == "not yet":
        return authority.issue(request_pem, ["kilim.example"], NOW + timedelta(days=2), year)
    if wrong == "strangers":
        return authority.issue(request_pem, ["kilim.example"], NOW, year, issuer=Authority().certificate)
    return "hello"


@pytest.mark.parametrize(("wrong", "words"), wrong_chains())
def test_a_wrong_chain_is_refused_and_nothing_changes(ada: Someone, wrong: str, words: str) -> None:
    addon_id, run_id = ordered(ada, **KILIM)
    (waiting,) = certificates.of_addon(ada.vendor_id, addon_id)
    with unit_of_work(), pytest.raises(Invalid) as refused:
        certificates.deliver(run_id, made_wrong(wrong, waiting.request_pem), actor=SAM, now=clock.business())
    assert words in refused.value.fields["chain"]
    assert certificates.of_addon(ada.vendor_id, addon_id) == [waiting]
    assert factory.states(run_id) == ["done", "waiting_staff"]


def test_a_star_covers_one_label() -> None:
    request, _key = rules.make("*.kilim.example", "", "")
    chain = Authority().issue(request, ["*.kilim.example"], NOW, NOW + timedelta(days=90))
    assert rules.read_chain(chain, request, "www.kilim.example", NOW).valid_until == NOW + timedelta(days=90)
    for name in ("kilim.example", "a.b.kilim.example"):
        with pytest.raises(PortalError):
            rules.read_chain(chain, request, name, NOW)


def test_the_key_is_for_its_owner_and_each_taking_is_written_down(ada: Someone) -> None:
    addon_id, _, _ = issued(ada, NOW + timedelta(days=365))
    (found,) = certificates.of_addon(ada.vendor_id, addon_id)
    other = people.register("bob@example.com", business="Bobs Books", tier=None)
    owner = actor.user(ada.user_id, ada.name)
    with unit_of_work(), pytest.raises(NotFound):
        certificates.private_key(other.vendor_id, addon_id, found.id, actor=owner, now=clock.business())
    with unit_of_work():
        key = certificates.private_key(ada.vendor_id, addon_id, found.id, actor=owner, now=clock.business())
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    (entry,) = db.session.query(AuditEntry).filter_by(action="certificate.key_taken")
    assert (entry.actor_label, entry.data["name"]) == (ada.name, "kilim.example")


def test_it_is_renewed_a_month_ahead_and_the_old_one_serves_until_then(ada: Someone, travel: Travel) -> None:
    addon_id, _, chain = issued(ada, NOW + timedelta(days=90))
    # 90 days less 30: on the sixtieth day.
    travel.on(days=59)
    factory.tend()
    assert len(certificates.of_addon(ada.vendor_id, addon_id)) == 1
    travel.on(days=2)
    factory.tend()
    travel.on(days=1)
    factory.tend()
    waiting, old = certificates.of_addon(ada.vendor_id, addon_id)
    assert (waiting.chain_pem, old.chain_pem) == (None, chain)
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE
    assert db.session.query(SentMail).filter_by(kind="certificate_renewed").count() == 1
    renewal = factory.run_row(max(s.run_id for s in db.session.query(ProvisioningStep)))
    assert (renewal.kind, factory.states(renewal.id)) == (RunKind.CHANGE, ["done", "waiting_staff"])
    end = clock.business() + timedelta(days=365)
    new = Authority().issue(waiting.request_pem, ["kilim.example"], clock.business() - timedelta(days=1), end)
    with unit_of_work():
        certificates.deliver(renewal.id, new, actor=SAM, now=clock.business())
    jobs.run_all()
    assert factory.states(renewal.id) == ["done", "done"]
    (only,) = certificates.of_addon(ada.vendor_id, addon_id)
    assert only.chain_pem == new


def test_what_is_given_up_forgets_its_key(ada: Someone) -> None:
    addon_id, _, _ = issued(ada, NOW + timedelta(days=365))
    factory.begin(addon_id, RunKind.TEARDOWN)
    jobs.run_all()
    assert db.session.query(Certificate.private_key).scalar() is None
    assert factory.addon_row(addon_id).status == AddonStatus.CANCELLED


def test_another_size_leaves_the_certificate_alone(ada: Someone) -> None:
    addon_id, _, _ = issued(ada, NOW + timedelta(days=365))
    change = factory.begin(addon_id, RunKind.CHANGE)
    jobs.run_all()
    assert factory.states(change) == ["done", "done"]
    assert db.session.query(Certificate).count() == 1


def test_keys_are_sealed_anew(ada: Someone) -> None:
    ordered(ada, **KILIM)
    keys = dict(crypto._keys)
    try:
        crypto.configure([b"n" * 32, *keys.values()])
        with unit_of_work():
            assert certificates.reseal(0, 10) == (1, None)
        with unit_of_work():
            assert certificates.reseal(0, 10) == (0, None)
    finally:
        crypto.configure(list(keys.values()))
