"""The payment code follows EPC069-12, and exists only where banks can read it."""

import pytest

from portal.billing.payment_slip import Account, epc_payload, qr_svg
from portal.billing.references import make
from portal.kit.errors import Invalid
from portal.kit.money import Money
from portal.settings.rules import parse

ACCOUNT = Account("Kilim Portal Ltd", "DE02120300000000202051", "BYLADEM1001")


def test_the_payload_line_by_line() -> None:
    payload = epc_payload(ACCOUNT, Money(4839, "EUR"), make(1234))
    assert payload is not None
    assert payload.split("\n") == [
        "BCD", "002", "1", "SCT", "BYLADEM1001", "Kilim Portal Ltd", "DE02120300000000202051", "EUR48.39", "",
        "RF5400001234",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("minor", "shown"),
    [(1, "EUR0.01"), (100, "EUR1.00"), (1234567, "EUR12345.67"), (99_999_999_999, "EUR999999999.99")],
)
def test_amounts(minor: int, shown: str) -> None:
    assert shown in (epc_payload(ACCOUNT, Money(minor, "EUR"), make(1)) or "")


@pytest.mark.parametrize(
    ("account", "amount"),
    [
        (ACCOUNT, Money(4839, "USD")),
        (ACCOUNT, Money(0, "EUR")),
        (ACCOUNT, Money(-1, "EUR")),
        (ACCOUNT, Money(100_000_000_000, "EUR")),
        (Account("", "DE02120300000000202051"), Money(1, "EUR")),
        (Account("Kilim", ""), Money(1, "EUR")),
    ],
)
def test_where_there_is_no_code(account: Account, amount: Money) -> None:
    assert epc_payload(account, amount, make(1)) is None


def test_long_names_are_cut_and_letters_kept() -> None:
    payload = epc_payload(Account("Müller & Söhne " * 9, "DE02120300000000202051"), Money(1, "EUR"), make(1))
    assert payload is not None
    assert len(payload.split("\n")[5]) == 70 and len(payload.encode()) <= 331
    assert qr_svg(payload).startswith("<svg")


@pytest.mark.parametrize("iban", ["DE02120300000000202052", "DE0212030000000020205", "XX00", "hello", "DE02 1203 0000"])
def test_a_wrong_iban_is_refused_at_its_field(iban: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse("bank_iban", iban)
    assert list(refused.value.fields) == ["bank_iban"]


def test_an_iban_is_kept_without_spaces() -> None:
    assert parse("bank_iban", " de02 1203 0000 0000 2020 51 ") == "DE02120300000000202051"
    assert parse("bank_bic", "byladem1001") == "BYLADEM1001"
    assert (parse("bank_iban", ""), parse("bank_bic", "")) == ("", "")
    with pytest.raises(Invalid):
        parse("bank_bic", "NOTABIC")
