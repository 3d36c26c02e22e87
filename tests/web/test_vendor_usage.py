"""The page of usage: meters, graph, months, files, alerts; and the one upsell at a limit (LIM-2, LIM-4 to 6, ADD-6)."""

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from portal.catalog.rules import Metric
from portal.credits.models import CreditTransaction
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import usage_window
from portal.usage import alerts
from portal.usage import service as usage
from portal.usage.models import UsageAlert, UsageAlertMute
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.travel import Travel
from tests.web.test_admin_vendors import queries_of
from tests.web.test_vendor_checkout import PARTIAL

pytestmark = pytest.mark.usefixtures("unscoped")


def uses(
    who: Someone, metric: Metric, quantity: int, *, at: datetime | None = None, subject: str | None = None
) -> None:
    """Count something, in the month of usage that its moment lies in."""
    at = at or clock.business()
    with unit_of_work():
        start = usage_window(subscriptions.held(who.vendor_id).period_start, at)
        key = f"{metric}:{at.isoformat()}:{quantity}:{subject}"
        usage.record(who.vendor_id, metric, quantity, key=key, at=at, period_start=start, subject=subject)


def page(client: FlaskClient, who: Someone, **query: str) -> str:
    return text_of(client.get(f"/vendor/{who.code}/usage", query_string=query))


def never_ends(who: Someone) -> None:
    """A paid month after the other, so that time may pass without a trial that ends."""
    with unit_of_work():
        held = db.session.query(VendorSubscription).filter_by(vendor_id=who.vendor_id).one()
        held.status, held.trial_ends_at = "active", None
        held.period_end = held.period_start + timedelta(days=365)


def test_a_new_vendor_is_told_what_will_be_here(client: FlaskClient) -> None:
    who = people.sign_up(client)
    words = page(client, who)
    assert "Orders Nothing counted yet · 500 included this month, since 15 Jan 2027" in words
    assert "Orders and conversations are compared here" in words and "No limit came near yet." in words
    assert "Nothing was counted" in page(client, who, what="conversations")


def test_without_a_plan_no_limit_is_spoken_of(client: FlaskClient) -> None:
    words = page(client, people.sign_up(client, tier=None))
    assert "Limits come with a plan." in words and "limits nothing" not in words


def test_the_graph_tells_days_and_the_month_before(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    never_ends(who)
    uses(who, Metric.ORDERS, 7)
    uses(who, Metric.ORDERS, 5, at=clock.business() + timedelta(days=3))
    travel.on(days=33)
    uses(who, Metric.ORDERS, 20)
    words = page(client, who)
    # The month of usage began on 15 February: 20 in it, 7 + 5 = 12 in the one before.
    assert "20 from 15 February 2027 to 15 March 2027; 12 in the month before. Most on 17 February 2027: 20." in words
    assert "17 Feb 2027 20 –" not in words and "17 Feb 2027 20 0" in words, "beside 17 January, when nothing happened"
    assert "15 Feb 2027 0 7" in words and "18 Feb 2027 – 5" in words, "tomorrow is not known yet"
    # 20 against 12: 8 / 12 = 66.7 % more.
    assert "since 15 Feb 2027 20 +67 % since 15 Jan 2027 12" in words
    january = page(client, who, month="2027-01-15")
    assert "12 from 15 January 2027 to 15 February 2027. Nothing is known of the time before." in january


def test_a_level_is_told_as_it_stood_when_the_day_ended(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    never_ends(who)
    uses(who, Metric.PRODUCTS, 40)
    travel.on(days=2)
    uses(who, Metric.PRODUCTS, -15)
    words = page(client, who, what="products")
    # 40 on the 15th and, untouched, on the 16th; 40 - 15 = 25 on the 17th.
    assert "Products at the end of each day; 25 at last. Most on 15 January 2027: 40." in words
    assert "15 Jan 2027 40" in words and "16 Jan 2027 40" in words and "17 Jan 2027 25" in words
    assert "18 Jan 2027 –" in words


def test_storage_is_counted_in_bytes_and_told_in_gigabytes(client: FlaskClient) -> None:
    who = people.sign_up(client)
    uses(who, Metric.STORAGE_GB, 4_850_000_000)
    # 4.85 of 5 GB are 97 %.
    assert "Storage (GB) 97 % 4.85 of 5 · nearly full" in page(client, who)
    assert "15 Jan 2027 4.85" in page(client, who, what="storage_gb")
    uses(who, Metric.STORAGE_GB, 149_999_999)
    # One byte less than 5 GB: rounded up it reads as 5, and is not full.
    assert "5 of 5 · nearly full" in page(client, who)
    uses(who, Metric.STORAGE_GB, 1)
    assert "5 of 5 · limit reached" in page(client, who)


def test_credits_spent_are_told_by_day(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    travel.on(days=1)
    spends(who, 30)
    spends(who, 12)
    words = page(client, who, what="credits")
    # 30 + 12 = 42 on the 16th; the grant at sign-up is not spending.
    assert "42 from 15 January 2027 to 15 February 2027. Nothing is known of the time before." in words
    assert "Most on 16 January 2027: 42." in words


def spends(who: Someone, amount: int) -> None:
    with unit_of_work() as session:
        last = session.query(CreditTransaction).filter_by(vendor_id=who.vendor_id).count()
        session.add(
            CreditTransaction(
                vendor_id=who.vendor_id, kind="usage", amount=-amount, balance_after=0, description="Article",
                idempotency_key=f"spend:{last}", actor="system::system", at=clock.business(),
            )
        )  # fmt: skip


def test_sources_are_named_and_the_many_small_ones_are_one(client: FlaskClient) -> None:
    who = people.sign_up(client)
    for i in range(15):
        uses(who, Metric.ORDERS, 20 - i, subject=f"shop {i}")
    uses(who, Metric.ORDERS, 100)
    words = page(client, who, by="source")
    assert "No source named 100 shop 0 20 shop 1 19" in words
    # Twelve are named: the one without a source and 0 to 10. 11 to 14 have 9 + 8 + 7 + 6 = 30.
    assert "shop 10 10 All others 30" in words and "shop 11" not in words


def test_a_source_is_shown_as_text(client: FlaskClient) -> None:
    who = people.sign_up(client)
    uses(who, Metric.ORDERS, 1, subject="<script>alert(1)</script>")
    body = client.get(f"/vendor/{who.code}/usage?by=source").get_data(as_text=True)
    assert "&lt;script&gt;alert(1)" in body and "<script>alert(1)" not in body


@pytest.mark.parametrize(
    "query", ["what=nothing", "month=yesterday", "month=1999-01-01", "by=moon", "period=x/y", "what=%00"]
)
def test_what_the_address_gets_wrong_shows_the_first_of_its_kind(client: FlaskClient, query: str) -> None:
    who = people.sign_up(client)
    uses(who, Metric.ORDERS, 3)
    assert "3 from 15 January 2027" in text_of(client.get(f"/vendor/{who.code}/usage?{query}"))
    assert "3 from 15 January 2027" in text_of(client.get(f"/vendor/{who.code}/usage/graph?{query}", headers=PARTIAL))


def test_the_graph_alone_as_a_page_is_the_whole(client: FlaskClient) -> None:
    who = people.sign_up(client)
    answer = client.get(f"/vendor/{who.code}/usage/graph?what=products&month=2027-01-15")
    assert answer.status_code == 303 and answer.location == f"/vendor/{who.code}/usage?what=products&month=2027-01-15"
    part = client.get(f"/vendor/{who.code}/usage/graph?what=products", headers=PARTIAL)
    assert part.get_data(as_text=True).strip().startswith('<div id="usage-graph"')
    assert part.headers["HX-Replace-Url"] == f"/vendor/{who.code}/usage?what=products"


def test_parts_that_cannot_be_read_say_so_and_the_rest_stands(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    who = people.sign_up(client)
    for place in ("portal.reporting.usage_history.series", "portal.reporting.usage_history.months",
                  "portal.usage.alerts.of_vendor", "portal.subscriptions.meters.read"):  # fmt: skip
        monkeypatch.setattr(place, fails)
    answer = client.get(f"/vendor/{who.code}/usage")
    words = text_of(answer)
    assert answer.status_code == 200 and words.count("Try again") == 4
    assert "The meters cannot be read right now" in words and "This cannot be read right now" in words


def test_a_file_has_every_day_and_no_formula(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    uses(who, Metric.ORDERS, 7, subject='=HYPERLINK("http://evil.example")')
    uses(who, Metric.ORDERS, 1, subject="+49 30 1")
    travel.on(days=1)
    uses(who, Metric.PRODUCTS, 4)
    spends(who, 9)
    answer = client.get(f"/vendor/{who.code}/usage/export?month=2027-01-15")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="usage-{who.code}-2027-01-15.csv"'
    rows = rows_of(answer)
    assert rows[0] == ["day", "metric", "amount"]
    assert ["2027-01-15", "orders", "8"] in rows and ["2027-01-16", "products", "4"] in rows
    assert rows[-1] == ["2027-01-16", "credits", "9"]
    by_source = rows_of(client.get(f"/vendor/{who.code}/usage/export?by=source"))
    assert ["orders", "'+49 30 1", "1"] in by_source
    assert ["orders", '\'=HYPERLINK("http://evil.example")', "7"] in by_source


def rows_of(answer: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


@pytest.mark.parametrize("events", [1, 25, 100])
def test_the_page_takes_six_statements_and_the_graph_two(client: FlaskClient, events: int) -> None:
    who = people.sign_up(client)
    for i in range(events):
        uses(who, Metric.ORDERS, 5, at=clock.business() + timedelta(minutes=i), subject=f"shop {i}")
    # Who is at the door; plan; meters with dismissals and offers; graph; months; alerts.
    assert queries_of(client, f"/vendor/{who.code}/usage") == 6
    held = subscriptions.held(who.vendor_id)
    period = f"{held.period_start:%Y-%m-%dT%H:%M:%S.%f}%2B00:00/{held.period_end:%Y-%m-%dT%H:%M:%S.%f}%2B00:00"
    for query in ("what=orders", "what=credits", "by=source"):
        assert queries_of(client, f"/vendor/{who.code}/usage/graph?{query}&period={period}", headers=PARTIAL) == 2
    assert queries_of(client, f"/vendor/{who.code}/notifications") == 2


# ── Why a number is what it is ────────────────────────────────────────────────────────────────────────────────────


def test_a_number_with_several_reasons_explains_itself(client: FlaskClient) -> None:
    from portal.entitlements.models import EntitlementGrant

    who = people.sign_up(client)
    now = clock.business()
    with unit_of_work() as session:
        for source, amount, until in (("addon", 10, None), ("override", 700, now + timedelta(days=75))):
            session.add(
                EntitlementGrant(
                    vendor_id=who.vendor_id, source=source, source_ref=f"{source}:1", kind="limit",
                    key="storage_gb" if source == "addon" else "orders", amount=amount, valid_from=now,
                    valid_until=until, version=2,
                )
            )  # fmt: skip
    words = page(client, who)
    # 15 January and 75 days: 31 March. 5 GB of the tier and 10 of the add-on: 15.
    assert "Why this number? 500 from Professional set to 700 for you by our staff until 31 March 2027" in words
    assert "Nothing counted yet · 15 included" in words and "5 from Professional +10 from add-ons" in words


# ── Alerts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def choose(client: FlaskClient, who: Someone, metrics: list[str], told: list[str], **more: Any) -> Any:
    return people.post(client, f"/vendor/{who.code}/usage/alerts", {"metric": metrics, "told": told}, **more)


def mutes(who: Someone) -> set[tuple[str, int]]:
    db.session.rollback()
    rows = db.session.query(UsageAlertMute).filter_by(vendor_id=who.vendor_id)
    return {(row.metric, row.threshold) for row in rows}


def test_of_what_is_ticked_the_team_is_told(client: FlaskClient) -> None:
    who = people.sign_up(client)
    assert mutes(who) == set()
    done = choose(client, who, ["orders", "sites"], ["orders:100", "sites:50", "sites:80", "sites:100"])
    assert done.location == f"/vendor/{who.code}/usage#alerts"
    assert mutes(who) == {("orders", 50), ("orders", 80)}
    for _ in range(2):
        choose(client, who, ["orders"], ["orders:50"])
        assert mutes(who) == {("orders", 80), ("orders", 100)}
    body = client.get(f"/vendor/{who.code}/usage").get_data(as_text=True)
    assert 'name="told" value="orders:50" checked' in body and 'name="told" value="orders:80">' in body


@pytest.mark.parametrize(("metrics", "told"), [(["moons"], []), (["orders"], ["orders:90"]), (["orders"], ["sites:50"]),
                                               (["orders"], ["x"]), (["orders"], ["orders:"])])  # fmt: skip
def test_alerts_that_do_not_exist_change_nothing(client: FlaskClient, metrics: list[str], told: list[str]) -> None:
    who = people.sign_up(client)
    assert choose(client, who, metrics, told).status_code == 422
    assert mutes(who) == set()


def test_what_was_reached_is_listed_newest_first(client: FlaskClient) -> None:
    who = people.sign_up(client)
    now = clock.business()
    with unit_of_work() as session:
        for threshold, used, later in ((50, 250, 0), (80, 401, 3)):
            session.add(
                UsageAlert(
                    vendor_id=who.vendor_id, metric="orders", threshold=threshold, period_start=now, used=used,
                    limit_value=500, raised_at=now + timedelta(hours=later),
                )
            )  # fmt: skip
    words = page(client, who)
    assert words.index("Orders: 80 % (401 of 500)") < words.index("Orders: 50 % (250 of 500)")
    assert [alert.threshold for alert in alerts.of_vendor(who.vendor_id).raised] == [80, 50]
