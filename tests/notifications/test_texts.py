"""Every mail can be written, in both languages, from what its kind asks for, and says what matters (NOT-1)."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.identity import invitations
from portal.identity import queries as identity
from portal.identity.rules import Role
from portal.kit import clock, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import rendering, rules
from portal.notifications import service as notifications
from portal.notifications.models import SentMail
from portal.notifications.rendering import Rendered
from portal.notifications.service import Recipient
from tests.support import people

WHEN = datetime(2027, 1, 29, 12, 0, tzinfo=UTC).isoformat()
EUR = {"minor": 4839, "currency": "EUR"}
VENDOR = {"vendor_code": "kilim-house", "vendor_name": "Kilim House"}
ADDON = {"addon": "Custom domain", "addon_id": 7}
DOMAIN = {**VENDOR, "addon": "Custom domain", "detail": "www.myshop.de", "size": ["pieces", 1]}
STORAGE = {**VENDOR, "addon": "Extra storage", "detail": "", "before": ["gigabytes", 50], "after": ["gigabytes", 1250]}
LEFT = {"by": "Sam Staff", "cause": "asked", "deleted": [], "ended_at": WHEN}
CLOSING = [
    ["Custom domain", "www.myshop.de", ["pieces", 1]],
    ["Email", "www.myshop.de", ["addresses", 10]],
]
TICKET = {"subject": "How do I export?", "body": "Open the menu.\n\nChoose export.", "by": "Sam Staff"}

#: kind → (params beyond those that every mail of its sort has, words that must be there, the page it leads to)
MAILS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "verification": ({}, ["seven days"], "/verify/"),
    "reset": ({}, ["one hour"], "/password/reset/"),
    "first_password": ({}, ["Choose a password"], "/password/reset/"),
    "email_change": ({"new_email": "new@example.com"}, ["new@example.com"], "/verify/email/"),
    "email_changed": ({"new_email": "new@example.com"}, ["new@example.com"], "/profile"),
    "password_changed": ({"at": WHEN}, ["29 January 2027"], "/profile"),
    "second_factor_on": ({"at": WHEN}, ["29 January 2027", "recovery codes"], "/profile"),
    "second_factor_off": ({"at": WHEN}, ["29 January 2027", "password alone"], "/profile"),
    "recovery_code_used": ({"at": WHEN, "left": 9}, ["29 January 2027", "9 recovery codes are left"], "/profile"),
    "welcome": (
        {**VENDOR, "tier": "Professional", "ends_at": WHEN, "credits": 2000},
        ["Professional", "29 January 2027", "2,000"],
        "/dashboard",
    ),
    "domain_active": ({**VENDOR, "domain": "www.myshop.com"}, ["www.myshop.com works"], "/vendor/kilim-house/domains"),
    "domain_failing": (
        {**VENDOR, "domain": "www.myshop.com", "since_at": WHEN},
        ["www.myshop.com", "29 January 2027", "platform address"],
        "/vendor/kilim-house/domains",
    ),
    "domain_back": ({**VENDOR, "domain": "www.myshop.com"}, ["works again"], "/vendor/kilim-house/domains"),
    "domain_lost": (
        {**VENDOR, "domain": "www.myshop.com"},
        ["another vendor has proven to own the name"],
        "/vendor/kilim-house/domains",
    ),
    "trial_used": ({**VENDOR, "tier": "Business"}, ["free trial before", "Business"], "/vendor/kilim-house/plans"),
    "trial_ending": (
        {**VENDOR, "days": 3, "ends_at": WHEN, "awaited": False},
        ["ends in 3 days", "29 January 2027"],
        "/vendor/kilim-house/billing",
    ),
    "trial_ended": (
        {**VENDOR, "ended_at": WHEN, "awaited": False},
        ["29 January 2027", "kept"],
        "/vendor/kilim-house/billing",
    ),
    "trial_extended": ({**VENDOR, "ends_at": WHEN}, ["29 January 2027"], "/dashboard"),
    "trial_card_used": (VENDOR, ["had a free trial before"], "/vendor/kilim-house/billing"),
    "subscription_active": (
        {**VENDOR, "tier": "Professional", "amount": EUR, "first_charge_at": WHEN},
        ["€48.39", "29 January 2027"],
        "/vendor/kilim-house/billing",
    ),
    "webhook_failing": (
        {**VENDOR, "host": "shop.example.com", "since_at": WHEN},
        ["shop.example.com", "29 January 2027", "Kilim House"],
        "/vendor/kilim-house/api-keys",
    ),
    "webhook_failing_staff": (
        {"host": "shop.example.com", "since_at": WHEN},
        ["shop.example.com", "29 January 2027"],
        "/admin/api-keys",
    ),
    "refunded": (
        {**VENDOR, "number": "INV-7", "amount": EUR, "provider": "stripe"},
        ["INV-7", "€48.39", "card that you paid with"],
        "/vendor/kilim-house/billing",
    ),
    "refund_failed": (
        {**VENDOR, "number": "INV-7", "amount": EUR},
        ["INV-7", "€48.39", "did not take"],
        "/admin/vendors/",
    ),
    "dispute_opened": (
        {**VENDOR, "reason": "fraudulent", "amount": EUR, "answer_by_at": WHEN},
        ["The cardholder says that the payment was not theirs", "€48.39", "29 January 2027"],
        "/admin/vendors/",
    ),
    "dispute_closed": ({**VENDOR, "amount": EUR, "status": "lost"}, ["It is lost", "€48.39"], "/admin/vendors/"),
    "receipt": (
        {**VENDOR, "invoice_id": 7, "number": "INV-7", "total": EUR, "paid": EUR, "issued_at": WHEN},
        ["INV-7", "€48.39", "29 January 2027"],
        "/vendor/kilim-house/invoices/7",
    ),
    "payment_failed": (
        {**VENDOR, "number": "INV-7", "amount": EUR, "next_attempt_at": WHEN, "confirm": False},
        ["INV-7", "€48.39", "try again on 29 January 2027"],
        "/vendor/kilim-house/billing",
    ),
    "payment_reminder": (
        {
            **VENDOR,
            "number": "INV-7",
            "amount": EUR,
            "day": 3,
            "closes_at": WHEN,
            "provider": "stripe",
            "confirm": False,
        },
        ["INV-7", "€48.39", "29 January 2027", "Nothing new can be created"],
        "/vendor/kilim-house/billing",
    ),
    "suspended": (
        {**VENDOR, "number": "INV-7", "amount": EUR, "confirm": False},
        ["INV-7", "€48.39", "Nothing is deleted"],
        "/vendor/kilim-house/billing",
    ),
    "limit_reached": (
        {**VENDOR, "metric": "Orders", "threshold": 80, "used": 402, "limit": 500},
        ["Orders", "80 %", "402 of 500"],
        "/vendor/kilim-house/usage",
    ),
    "limit_changed": (
        {**VENDOR, "what": "Orders", "limit": "700", "until_at": WHEN},
        ["Orders", "700", "29 January 2027"],
        "/vendor/kilim-house/usage",
    ),
    "reactivated": ({**VENDOR, "tier": "Professional"}, ["Professional", "open again"], "/dashboard"),
    "cancel_scheduled": (
        {**VENDOR, "tier": "Professional", "by": "Alice Owner", "deleted": [], "ends_at": WHEN},
        ["Professional", "Alice Owner", "29 January 2027", "Nothing is deleted", "taken back"],
        "/vendor/kilim-house/billing",
    ),
    "cancelled": (
        {**VENDOR, **LEFT, "tier": "Professional", "credit": EUR},
        ["Professional", "Sam Staff", "29 January 2027", "Nothing is deleted", "€48.39 that you paid for"],
        "/vendor/kilim-house/plans",
    ),
    "resumed": (
        {**VENDOR, "tier": "Professional", "by": "Alice Owner", "continues_at": WHEN},
        ["Professional", "Alice Owner", "29 January 2027"],
        "/vendor/kilim-house/billing",
    ),
    "addon_added": (
        {**DOMAIN, "by": "Alice Owner"},
        ["Custom domain", "www.myshop.de", "Alice Owner", "watch each step"],
        "/vendor/kilim-house/addons",
    ),
    "addon_changed": (
        {**STORAGE, "by": "Alice Owner", "from_at": WHEN},
        ["Extra storage changes to 1,250 GB", "50 GB", "29 January 2027"],
        "/vendor/kilim-house/addons",
    ),
    "addon_ending": (
        {**DOMAIN, "by": "Alice Owner", "ends_at": WHEN},
        ["Custom domain", "www.myshop.de", "29 January 2027", "taken back"],
        "/vendor/kilim-house/addons",
    ),
    "addon_resumed": (
        {**DOMAIN, "by": "Alice Owner", "continues_at": WHEN},
        ["Custom domain", "29 January 2027", "renews as before"],
        "/vendor/kilim-house/addons",
    ),
    "addon_ended": (
        {**DOMAIN, "cause": "unpaid", "ended_at": WHEN},
        ["Custom domain", "was not paid", "29 January 2027"],
        "/vendor/kilim-house/addons",
    ),
    "addon_unpaid": (
        {**DOMAIN, "amount": EUR, "ends_at": WHEN},
        ["Custom domain", "€48.39", "29 January 2027", "Everything else stays"],
        "/vendor/kilim-house/addons",
    ),
    "addons_closing": (
        {**VENDOR, "addons": CLOSING, "ends_at": WHEN},
        [
            "Custom domain (www.myshop.de), Email (www.myshop.de, 10 email addresses)",
            "29 January 2027",
            "keeps everything",
        ],
        "/vendor/kilim-house/billing",
    ),
    "tier_changed": (
        {**VENDOR, "before": "Professional", "after": "Business", "by": "Sam Staff", "due": EUR},
        ["Professional", "Business", "Sam Staff", "€48.39"],
        "/vendor/kilim-house/billing",
    ),
    "transfer_instructions": (
        {
            **VENDOR,
            "transfer": 7,
            "number": "PF-7",
            "amount": EUR,
            "due_at": WHEN,
            "holder": "Kilim Portal Ltd",
            "iban": "DE02 1203",
            "bic": "BYLADEM1001",
            "reference": "RF54 0000 1234",
            "days_left": 3,
        },
        ["€48.39", "29 January 2027", "DE02 1203", "RF54 0000 1234", "PF-7", "Kilim Portal Ltd", "crossed"],
        "/vendor/kilim-house/transfer/7",
    ),
    "transfer_received": (
        {**VENDOR, "transfer": 7, "number": "PF-7", "amount": EUR, "open": EUR, "reference": "RF54 0000 1234"},
        ["€48.39", "still open", "RF54 0000 1234", "PF-7"],
        "/vendor/kilim-house/transfer/7",
    ),
    "transfer_approved": (
        {**VENDOR, "transfer": 7, "number": "INV-7", "amount": EUR, "tier": "Professional", "until_at": WHEN},
        ["€48.39", "has arrived", "Professional is paid until 29 January 2027", "INV-7"],
        "/vendor/kilim-house/billing",
    ),
    "transfer_rejected": (
        {**VENDOR, "transfer": 7, "number": "PF-7", "amount": EUR, "reason": "No money came.", "still_open": 0},
        ["€48.39", "No money came.", "PF-7", "choose a plan again"],
        "/vendor/kilim-house/transfer/7",
    ),
    "change_scheduled": (
        {**VENDOR, "after": "Essential", "by": "Alice Owner", "effective_at": WHEN},
        ["Essential", "29 January 2027", "undone"],
        "/vendor/kilim-house/billing",
    ),
    "change_failed": (
        {**VENDOR, "after": "Business", "reason": "not paid in time"},
        ["Business", "Nothing was charged", "You keep the plan that you have."],
        "/vendor/kilim-house/plans",
    ),
    "ticket_answered": (
        {**VENDOR, **TICKET, "ticket_id": 7},
        ["How do I export?", "Sam Staff", "Open the menu", "Choose export"],
        "/vendor/kilim-house/support/7",
    ),
    "invitation": (
        {"vendor_name": "Kilim House", "by": "Ada", "role": "manager", "invitation_id": 1, "expires_at": WHEN},
        ["Ada", "Kilim House", "Manager", "29 January 2027", "ignore it"],
        "/join/",
    ),
    "invitation_accepted": (
        {**VENDOR, "who": "Carol", "email": "carol@example.com", "role": "member"},
        ["Carol", "carol@example.com", "Member"],
        "/vendor/kilim-house/team",
    ),
    "role_changed": (
        {**VENDOR, "by": "Ada", "role": "manager"},
        ["Ada", "Kilim House", "Manager", "everyday work"],
        "/dashboard",
    ),
    "member_removed": (
        {"vendor_name": "Kilim House", "by": "Ada"},
        ["Ada", "Kilim House", "Your login", "stay as they are"],
        "/profile",
    ),
    "member_left": ({**VENDOR, "who": "Carol"}, ["Carol", "Kilim House", "One seat"], "/vendor/kilim-house/team"),
    "ownership_transferred": (
        {**VENDOR, "before": "Ada", "after": "Carol", "is_new": 1},
        ["Ada", "Carol", "Kilim House", "mails about money"],
        "/vendor/kilim-house/team",
    ),
    "contact_answered": (TICKET, ["How do I export?", "Open the menu"], "/contact"),
    "addon_ready": (
        {**VENDOR, **ADDON},
        ["Custom domain", "ready"],
        "/vendor/kilim-house/addons/7/steps",
    ),
    "addon_failed": (
        {**VENDOR, **ADDON},
        ["Custom domain", "nothing for you to do"],
        "/vendor/kilim-house/addons/7/steps",
    ),
    "addon_late": (
        {**VENDOR, **ADDON, "promised_at": WHEN},
        ["Custom domain", "29 January 2027"],
        "/vendor/kilim-house/addons/7/steps",
    ),
    "addon_needs_you": (
        {**VENDOR, **ADDON, "step": "Point the domain here"},
        ["Custom domain", "Point the domain here"],
        "/vendor/kilim-house/addons/7/steps",
    ),
    "certificate_renewed": (
        {**VENDOR, **ADDON, "name": "kilim.example", "ends_at": WHEN},
        ["kilim.example", "29 January 2027"],
        "/vendor/kilim-house/addons/7/steps",
    ),
    "provisioning_for_staff": (
        {**VENDOR, "addon": "Custom domain", "run_id": 9, "why": "task", "step": "Set it up by hand", "due_at": WHEN},
        ["Custom domain", "Kilim House", "Set it up by hand", "29 January 2027"],
        "/admin/provisioning/9",
    ),
    "ticket_for_staff": (
        {**TICKET, "ticket_id": 7, "sender": "Ada <ada@example.com>"},
        ["How do I export?", "Open the menu"],
        "/admin/support/7",
    ),
    "change_failed_staff": ({**VENDOR, "after": "Business"}, ["Kilim House", "Business", "retired"], "/admin/vendors/"),
}


@pytest.fixture
def alice(client: FlaskClient) -> people.Someone:
    """An owner; her vendor is kilim-house."""
    return people.register()


def invited(person: people.Someone) -> int:
    """The link of an invitation's mail is signed from its row."""
    with tenancy.scoped(person.vendor_id), unit_of_work():
        row = invitations.create(
            person.vendor_id, "carol@example.com", Role.MEMBER, locale="en", actor=SYSTEM, now=clock.business()
        )
    return row.id


def render(kind: str, person: people.Someone, locale: str = "en", **more: Any) -> Rendered:
    """The words of a mail of this kind."""
    params = {**MAILS[kind][0], **more}
    if "user_id" in rules.KINDS[kind]:
        params["user_id"] = person.user_id
    if "invitation_id" in rules.KINDS[kind]:
        params["invitation_id"] = invited(person)
    rules.check(kind, params)
    return of(kind, person, locale, params)


def written(kind: str, person: people.Someone, *, without: str = "", **changed: Any) -> Rendered:
    """As ``render``, for a mail whose parameters were checked by an earlier version."""
    params = {name: value for name, value in {**MAILS[kind][0], **changed}.items() if name != without}
    return of(kind, person, "en", params)


def of(kind: str, person: people.Someone, locale: str, params: dict[str, Any]) -> Rendered:
    vendor = person.vendor_id if "vendor_code" in params else None
    mail = SentMail(
        kind=kind,
        vendor_id=vendor,
        recipient=person.email,
        recipient_name=person.name,
        locale=locale,
        params=params,
    )
    return rendering.render(mail)


def test_every_kind_is_tried_here() -> None:
    assert set(MAILS) == set(rules.KINDS)


@pytest.mark.parametrize("kind", list(MAILS))
def test_a_mail_says_what_matters_in_text_and_html(alice: people.Someone, kind: str) -> None:
    _, words, page = MAILS[kind]
    mail = render(kind, alice)
    html = re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", mail.html, flags=re.S))
    for part in (f"{mail.subject}\n{mail.text}", f"{mail.subject} {html}"):
        for word in words:
            assert word in part
    assert mail.subject and "\n" not in mail.subject
    assert f"http://localhost{page}" in mail.text and f'href="http://localhost{page}' in mail.html
    assert mail.text.startswith(f"{mail.subject}\n\nHello Alice Owner,\n\n")
    assert "{{" not in mail.text and "&#" not in mail.text


@pytest.mark.parametrize("kind", list(MAILS))
def test_a_mail_can_be_written_in_german(alice: people.Someone, kind: str) -> None:
    mail = render(kind, alice, "de")
    assert '<html lang="de">' in mail.html
    assert "29 January" not in mail.text and "€48.39" not in mail.text


@pytest.mark.parametrize(
    ("size", "english", "german"),
    [
        (["addresses", 1], "1 email address", "1 E-Mail-Adresse"),
        (["addresses", 10], "10 email addresses", "10 E-Mail-Adressen"),
        (["gigabytes", 1250], "1,250 GB", "1.250 GB"),
        (["pieces", 3], "3 of them", "3 Stück"),
    ],
)
def test_sizes_are_said_in_the_readers_words(alice: people.Someone, size: list[Any], english: str, german: str) -> None:
    for kind in ("addon_added", "addon_ending", "addon_resumed", "addon_ended", "addon_unpaid"):
        for locale, words in (("en", english), ("de", german)):
            mail = render(kind, alice, locale, size=size)
            assert f": www.myshop.de, {words}\n" in mail.text and f"www.myshop.de, {words}</strong>" in mail.html
    for locale, words in (("en", english), ("de", german)):
        mail = render("addon_changed", alice, locale, before=["pieces", 2], after=size)
        assert words in mail.subject and f": {words}\n" in mail.text and f"{words}</strong>" in mail.html


def test_a_single_one_without_a_name_has_no_details(alice: people.Someone) -> None:
    """Tried once with the line always there: it said "Details: –"."""
    for kind in ("addon_added", "addon_ending", "addon_resumed", "addon_ended", "addon_unpaid", "addon_changed"):
        more: dict[str, Any] = {} if kind == "addon_changed" else {"size": ["pieces", 1]}
        mail = render(kind, alice, detail="", **more)
        assert "Details" not in mail.text and "Details" not in mail.html
    assert "Details: www.myshop.de\n" in render("addon_changed", alice, detail="www.myshop.de").text


def test_what_was_written_down_with_the_words_of_before_is_still_sent(alice: people.Someone) -> None:
    mail = written("addon_added", alice, detail="www.myshop.de, 10", without="size")
    assert "Details: www.myshop.de, 10\n" in mail.text
    mail = written("addon_changed", alice, before="1 ×", after="3 ×", without="detail")
    assert "After: 3 ×\n" in mail.text and "Details" not in mail.text
    assert "Add-ons: Custom domain" in written("addons_closing", alice, addons="Custom domain").text
    assert "Nothing is deleted" in written("cancelled", alice, without="deleted").text


@pytest.mark.parametrize("kind", ["cancel_scheduled", "cancelled"])
def test_whoever_loses_mail_or_a_key_is_not_told_that_nothing_is_deleted(alice: people.Someone, kind: str) -> None:
    """Tried once with the old sentence alone."""
    mail_told, key_told = "Mailboxes that end are deleted with their mail.", "The private key of a certificate"
    for deleted, said in (
        (["mailboxes"], [mail_told]),
        (["certificate"], [key_told]),
        (["certificate", "mailboxes"], [mail_told, key_told]),
    ):
        mail = render(kind, alice, deleted=deleted)
        for text in (mail.text, mail.html):
            assert "othing is deleted" not in text and "verything is kept" not in text
            assert [words for words in (mail_told, key_told) if words in text] == said
    assert mail_told not in render(kind, alice).text


def test_dates_are_the_vendors(alice: people.Someone) -> None:
    with unit_of_work():
        vendor = identity.vendor(alice.vendor_id)
        assert vendor is not None
        vendor.time_zone = "Pacific/Auckland"
    # 29 January 12:00 UTC is 30 January 01:00 in Auckland (UTC+13 in summer).
    assert "30 January 2027" in render("trial_ended", alice).text


@pytest.mark.parametrize("kind", ["trial_ending", "trial_ended"])
def test_whoever_pays_by_transfer_is_not_asked_for_a_payment_method(alice: people.Someone, kind: str) -> None:
    mail = render(kind, alice, awaited=True)
    for text in (mail.text, mail.html):
        assert "Your bank transfer has not arrived in full yet" in text and "See how to pay" in text
        assert "Add a payment method" not in text


def test_a_failed_payment_without_another_try_asks_for_one(alice: people.Someone) -> None:
    mail = render("payment_failed", alice, next_attempt_at=None)
    assert "Please pay now, or use another card." in mail.text


def test_a_payment_that_the_bank_wants_confirmed_says_how(alice: people.Someone) -> None:
    mail = render("payment_failed", alice, confirm=True)
    for text in (mail.text, mail.html):
        assert "Your bank wants you to confirm the payment for Kilim House" in text and "Confirm and pay" in text
        assert "failed" not in text and "try again" not in text


@pytest.mark.parametrize("kind", ["payment_reminder", "suspended"])
def test_what_follows_says_so_too_and_leads_there(alice: people.Someone, kind: str) -> None:
    mail = render(kind, alice, confirm=True)
    for text in (mail.text, mail.html):
        assert "Your bank still wants you to confirm the payment" in text and "Your bank then asks for a code" in text
        assert "/vendor/kilim-house/billing" in text and "Confirm and pay" in text
        assert "Pay now" not in text and "could still not collect" not in text
    assert "confirm" not in render(kind, alice, confirm=False).text.lower()


def test_links_start_with_the_configured_address_whatever_the_host_says(
    client: FlaskClient, alice: people.Someone
) -> None:
    people.post(client, "/password/forgotten", {"email": alice.email}, headers={"Host": "evil.example"})
    app: Flask = client.application
    with app.test_request_context(base_url="http://evil.example"):
        assert "evil" not in render("verification", alice).text


def test_the_vendors_own_words_do_not_break_a_mail(alice: people.Someone) -> None:
    mail = render("trial_ended", alice, vendor_name="100% <b>Kilim</b> {{ 7*7 }} %(name)s")
    assert "100% <b>Kilim</b> {{ 7*7 }} %(name)s" in mail.text
    assert "100% &lt;b&gt;Kilim&lt;/b&gt;" in mail.html


def test_the_same_cause_in_another_language_is_the_same_mail(alice: people.Someone) -> None:
    with unit_of_work():
        results = [
            notifications.send(
                "trial_ended",
                Recipient(alice.email, alice.name, locale),
                dedupe_key="one",
                vendor_id=alice.vendor_id,
                now=clock.business(),
                **MAILS["trial_ended"][0],
            )
            for locale in ("en", "de")
        ]
    assert results == [True, False]
