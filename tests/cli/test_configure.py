"""docs/configure.md names every variable that the portal reads, with its default, and no other."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from config import Config

pytestmark = pytest.mark.once

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "configure.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells
    for line in TEXT.splitlines()
    if re.match(r"\| `[A-Z0-9_]+` \|", line)
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}


def shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    plain = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
    return f"`{plain}`" if plain else ""


def test_every_variable_is_explained_and_none_is_made_up() -> None:
    assert set(ROWS) == {name.upper() for name in Config.model_fields}
    assert all(len(row) == 5 and len(row[1]) > 5 for row in ROWS.values())


@pytest.mark.parametrize("name", list(Config.model_fields))
def test_the_default_is_the_codes(name: str) -> None:
    assert ROWS[name.upper()][2] == shown(Config.model_fields[name].default)


def test_what_production_refuses_is_marked() -> None:
    # Nothing set: whatever production then names must be marked; the rest is named only when it is set.
    weak = Config(
        _env_file=None,  # type: ignore[call-arg]
        debug=True,
        secret_key=SecretStr("secret"),
        database_url="",
        smtp_host="",
        mail_from="",
        base_url="http://portal.example",
        stripe_secret_key=SecretStr("sk_test_x"),
        stripe_webhook_secret=SecretStr(""),
        stripe_api_base="http://sandbox",
        clock_offset_file="offset",
        namecheap_api_url="http://api.sandbox.namecheap.com/xml.response",
        mailcow_url="http://mail.example",
        demo=True,
        ratelimit_enabled=False,
    )
    refused = {sentence.split()[0] for sentence in weak.problems()}
    marked = {name for name, row in ROWS.items() if row[4].startswith("must")}
    assert marked == refused
