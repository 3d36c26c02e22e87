"""Invitations to a team (ACC-8): each holds a seat until it is accepted, withdrawn or runs out; each works once."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal.accounts import invitations, seats, team
from portal.catalog.rules import Metric
from portal.identity import invitations as rows
from portal.identity.links import LinkRefused
from portal.identity.models import Invitation, Membership, User, Vendor
from portal.identity.rules import Role
from portal.kit import actor as actors
from portal.kit import clock, jobs, periodic, tenancy
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound, PaymentRequired, PortalError, TooMany
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from portal.usage.models import UsageCounter, UsageEvent
from tests.billing.test_numbering import side_by_side
from tests.support import people, teams
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("catalog")


@pytest.fixture
def alice() -> Iterator[Someone]:
    """The owner of a vendor on Professional: three seats, one of them hers."""
    owner = people.register()
    jobs.run_all()
    with tenancy.scoped(owner.vendor_id):
        yield owner


def by(who: Someone) -> Actor:
    return actors.user(who.user_id, who.name)


def used(owner: Someone) -> int:
    db.session.rollback()
    statement = select(UsageCounter.used).where(
        UsageCounter.vendor_id == owner.vendor_id, UsageCounter.metric == Metric.TEAM_MEMBERS
    )
    return db.session.scalar(statement) or 0


def held(owner: Someone) -> int:
    """Members and open invitations, which is what the counter must say."""
    db.session.rollback()
    members = db.session.scalar(select(func.count()).where(Membership.vendor_id == owner.vendor_id)) or 0
    waiting = select(func.count()).where(Invitation.vendor_id == owner.vendor_id, Invitation.ended_at.is_(None))
    return members + (db.session.scalar(waiting) or 0)


def mails(kind: str) -> list[str]:
    return list(db.session.scalars(select(SentMail.recipient).where(SentMail.kind == kind).order_by(SentMail.id)))


def test_the_owner_holds_the_first_seat(alice: Someone) -> None:
    assert (used(alice), held(alice)) == (1, 1)
    assert seats.taken(alice.vendor_id, now=clock.business()) == seats.Taken(1, 3)


def test_an_invitation_takes_a_seat_and_hands_it_on(alice: Someone) -> None:
    invitation = teams.invite(alice)
    # The owner's seat and the invitation's.
    assert (used(alice), held(alice)) == (2, 2)
    carol = teams.accept(invitation)
    assert (used(alice), held(alice)) == (2, 2), "the member sits on the invitation's seat"
    assert carol.email_verified_at is not None, "the link proved the address"
    assert mails("invitation") == ["carol@kilim.example"] and mails("invitation_accepted") == [alice.email]


def test_with_no_seat_left_nobody_is_invited(alice: Someone) -> None:
    teams.invite(alice, "one@kilim.example")
    teams.invite(alice, "two@kilim.example")
    # 1 owner + 2 invitations = 3 of 3.
    with pytest.raises(Forbidden) as refused:
        teams.invite(alice, "three@kilim.example")
    assert refused.value.code == "limit_reached"
    assert (used(alice), held(alice)) == (3, 3)
    assert mails("invitation") == ["one@kilim.example", "two@kilim.example"]


def test_ten_at_once_on_the_last_seat(catalog: Flask, alice: Someone) -> None:
    """Tried once without the gate's bound (quantity 0 asked for): ten went out, and this failed."""
    teams.invite(alice, "first@kilim.example")

    def ask(n: int) -> bool:
        with tenancy.scoped(alice.vendor_id):
            try:
                teams.invite(alice, f"p{n}@kilim.example")
            except Forbidden:
                return False
            return True

    # 1 owner + 1 invitation leave one of three.
    assert sorted(side_by_side(catalog, ask, 10)) == [False] * 9 + [True]
    assert (used(alice), held(alice)) == (3, 3)


def test_the_same_address_at_once_is_one_invitation(catalog: Flask, alice: Someone) -> None:
    def ask(_: int) -> bool:
        with tenancy.scoped(alice.vendor_id):
            try:
                teams.invite(alice)
            except Invalid:
                return False
            return True

    assert sum(side_by_side(catalog, ask, 5)) == 1
    assert (used(alice), held(alice)) == (2, 2)
    assert mails("invitation") == ["carol@kilim.example"]


@pytest.mark.parametrize(
    ("email", "role", "field"),
    [
        ("", "member", "email"),
        ("no address", "member", "email"),
        ("a@b@c.example", "member", "email"),
        ("x" * 250 + "@example.com", "member", "email"),
        ("carol@kilim.example\nBcc: eve@evil.example", "member", "email"),
        ("alice@example.com", "member", "email"),
        ("ALICE@Example.com", "manager", "email"),
        ("carol@kilim.example", "owner", "role"),
        ("carol@kilim.example", "staff", "role"),
        ("carol@kilim.example", "", "role"),
    ],
)
def test_what_cannot_be_invited_changes_nothing(alice: Someone, email: str, role: str, field: str) -> None:
    with pytest.raises(Invalid) as wrong:
        teams.invite(alice, email, role)
    assert set(wrong.value.fields) == {field}
    assert (used(alice), held(alice), mails("invitation")) == (1, 1, [])


def test_an_address_is_invited_once_however_it_is_written(alice: Someone) -> None:
    teams.invite(alice)
    with pytest.raises(Invalid):
        teams.invite(alice, "Carol@KILIM.example")
    assert (used(alice), held(alice)) == (2, 2)


def test_a_withdrawn_invitation_frees_its_seat_once(alice: Someone) -> None:
    invitation = teams.invite(alice)
    for expected in (True, False, False):
        with unit_of_work():
            done = invitations.withdraw(alice.vendor_id, invitation.id, actor=by(alice), now=clock.business())
        assert done is expected
    # One taken, one given back: the owner's seat is left.
    assert (used(alice), held(alice)) == (1, 1)
    with pytest.raises(Conflict) as over:
        teams.accept(invitation)
    assert over.value.code == "invitation_withdrawn"


def test_another_vendors_invitation_is_not_there(alice: Someone) -> None:
    invitation = teams.invite(alice)
    other = people.register("bob@other.example", business="Other House")
    with tenancy.scoped(other.vendor_id), unit_of_work(), pytest.raises(NotFound):
        invitations.withdraw(other.vendor_id, invitation.id, actor=by(other), now=clock.business())
    assert used(alice) == 2


def test_seven_days_then_the_seat_is_free(alice: Someone, travel: Travel) -> None:
    invitation = teams.invite(alice)
    travel.on(days=6, hours=23)
    assert rows.behind(teams.token(invitation), clock.business()).state == "open"
    travel.on(hours=1, minutes=1)
    with pytest.raises(Conflict) as over:
        teams.accept(invitation)
    assert over.value.code == "invitation_expired"
    assert used(alice) == 2, "nobody has looked yet"
    with unit_of_work():
        periodic.insert_due()
    jobs.run_all()
    assert (used(alice), held(alice)) == (1, 1)
    with unit_of_work():
        periodic.insert_due()
    jobs.run_all()
    assert (used(alice), held(alice)) == (1, 1)


def test_what_has_run_out_does_not_stand_in_the_way(alice: Someone, travel: Travel) -> None:
    """Both seats are held by invitations that ran out a minute ago, and no job has looked yet."""
    teams.invite(alice, "one@kilim.example")
    teams.invite(alice, "two@kilim.example")
    travel.on(days=7, minutes=1)
    teams.invite(alice, "one@kilim.example")
    # The owner, and one invitation that stands: two of three.
    assert (used(alice), held(alice)) == (2, 2)


def test_an_invitation_works_once(catalog: Flask, alice: Someone) -> None:
    invitation = teams.invite(alice)
    teams.accept(invitation)
    with pytest.raises(Conflict) as over:
        teams.accept(invitation, "Second Carol")
    assert over.value.code == "invitation_used"
    assert (used(alice), held(alice)) == (2, 2)


def test_five_clicks_on_the_button_are_one_member(catalog: Flask, alice: Someone) -> None:
    carol = people.login("carol@kilim.example")
    invitation = teams.invite(alice)

    def accept(_: int) -> bool:
        with tenancy.scoped(alice.vendor_id):
            try:
                with unit_of_work():
                    return invitations.join(teams.token(invitation), carol.id, now=clock.business())
            except Conflict:
                return False

    assert sum(side_by_side(catalog, accept, 5)) == 1
    assert (used(alice), held(alice)) == (2, 2)
    assert mails("invitation_accepted") == [alice.email]


def test_only_the_invited_person_joins(alice: Someone) -> None:
    eve = people.login("eve@evil.example", "Eve Else")
    invitation = teams.invite(alice)
    with pytest.raises(Forbidden) as refused, unit_of_work():
        invitations.join(teams.token(invitation), eve.id, now=clock.business())
    assert refused.value.code == "wrong_person"
    assert (used(alice), held(alice)) == (2, 2)


def test_whoever_is_in_already_frees_the_seat(alice: Someone) -> None:
    """Carol changed her address to the invited one after she had joined by another."""
    carol = teams.accept(teams.invite(alice))
    invitation = teams.invite(alice, "second@kilim.example")
    with unit_of_work():
        row = db.session.get_one(User, carol.id)
        row.email = row.email_key = "second@kilim.example"
    with unit_of_work():
        assert invitations.join(teams.token(invitation), carol.id, now=clock.business()) is False
    assert (used(alice), held(alice)) == (2, 2)


@pytest.mark.parametrize("forged", ["", "x", "WzEsMV0.abc", "WzEsMTgwMDAwMDAwMF0.0000000000000000000000000000"])
def test_a_forged_link_opens_nothing(alice: Someone, forged: str) -> None:
    teams.invite(alice)
    with pytest.raises(LinkRefused):
        rows.behind(forged, clock.business())


def test_only_the_hash_is_kept(alice: Someone) -> None:
    invitation = teams.invite(alice)
    jobs.run_all()
    secret = teams.token(invitation)
    assert secret not in str({c.name: getattr(invitation, c.name) for c in Invitation.__table__.c})
    sent = db.session.scalars(select(SentMail).where(SentMail.kind == "invitation")).one()
    assert secret not in str(sent.params)
    assert secret in (sent.body_text or ""), "the link is made when the mail is rendered"


@pytest.mark.parametrize(
    ("standing", "error", "code"),
    [
        (Status.SUSPENDED, PaymentRequired, "vendor_closed"),
        (Status.TRIAL_ENDED, PaymentRequired, "vendor_closed"),
        (Status.CANCELLED, PaymentRequired, "vendor_closed"),
    ],
)
def test_nobody_joins_a_closed_vendor(alice: Someone, standing: Status, error: type[PortalError], code: str) -> None:
    invitation = teams.invite(alice)
    with unit_of_work():
        lock(alice.vendor_id).status = standing
    with pytest.raises(error) as refused:
        teams.accept(invitation)
    assert refused.value.code == code
    assert db.session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize("who", ["owner", "vendor"])
def test_nobody_joins_the_blocked(alice: Someone, who: str) -> None:
    invitation = teams.invite(alice)
    with unit_of_work():
        row = db.session.get_one(User, alice.user_id) if who == "owner" else db.session.get_one(Vendor, alice.vendor_id)
        row.blocked_at = clock.business()
    with pytest.raises(Forbidden) as refused:
        teams.accept(invitation)
    assert refused.value.code == "BLOCKED"


def test_after_a_downgrade_who_is_in_stays_and_nobody_joins(alice: Someone) -> None:
    """Three seats of Professional in use, then Essential with one."""
    teams.accept(teams.invite(alice))
    waiting = teams.invite(alice, "dave@kilim.example")
    downgraded(alice)
    with pytest.raises(Forbidden) as refused:
        teams.accept(waiting, "Dave Later")
    assert refused.value.code == "limit_reached"
    with pytest.raises(Forbidden):
        teams.invite(alice, "eve@kilim.example")
    # Alice, Carol, and Dave's invitation: three of one, and nothing was taken away.
    assert (used(alice), held(alice)) == (3, 3)


def downgraded(owner: Someone) -> None:
    """The rights of Essential instead: one seat."""
    from portal.catalog import queries as catalog
    from portal.entitlements import service as entitlements

    essential = catalog.tier_by_code("essential")
    assert essential is not None and essential.limits["team_members"] == 1
    with unit_of_work():
        entitlements.replace_tier_grants(owner.vendor_id, essential, now=clock.business())


def test_the_mail_is_sent_again_four_times_with_pauses(alice: Someone, travel: Travel) -> None:
    invitation = teams.invite(alice)

    def again() -> None:
        with unit_of_work():
            invitations.send_again(alice.vendor_id, invitation.id, actor=by(alice), now=clock.business())

    with pytest.raises(TooMany) as soon:
        again()
    # A quarter of an hour is 900 seconds; no more than a few have passed.
    assert 890 <= soon.value.retry_after <= 901
    for _ in range(3):
        travel.on(minutes=16)
        again()
    travel.on(minutes=16)
    with pytest.raises(TooMany):
        again()
    assert mails("invitation") == ["carol@kilim.example"] * 4
    # Four mails, the last of them 16 minutes ago: seven days from then.
    db.session.rollback()
    row = db.session.get_one(Invitation, invitation.id, populate_existing=True)
    assert abs(row.expires_at - (clock.business() - timedelta(minutes=16) + timedelta(days=7))) < timedelta(minutes=1)
    assert (used(alice), held(alice)) == (2, 2), "mailing again takes no further seat"


def test_an_address_is_not_pestered(alice: Someone) -> None:
    for _ in range(3):
        invitation = teams.invite(alice)
        with unit_of_work():
            invitations.withdraw(alice.vendor_id, invitation.id, actor=by(alice), now=clock.business())
    with pytest.raises(TooMany):
        teams.invite(alice)
    assert len(mails("invitation")) == 3 and used(alice) == 1


def test_a_vendor_invites_fifty_a_day(alice: Someone, monkeypatch: pytest.MonkeyPatch, travel: Travel) -> None:
    monkeypatch.setattr(invitations, "MOST_A_DAY", 2)
    for n in range(2):
        teams.invite(alice, f"p{n}@kilim.example")
    with pytest.raises(TooMany):
        teams.invite(alice, "p3@kilim.example")
    travel.on(days=1, minutes=1)
    with pytest.raises(Forbidden):  # the day is over; now it is the seats
        teams.invite(alice, "p3@kilim.example")


def test_every_seat_taken_was_given_back_once(alice: Someone) -> None:
    """The counter is the sum of its events, and its events name what they are for."""
    carol = teams.accept(teams.invite(alice))
    member = db.session.scalars(select(Membership).where(Membership.user_id == carol.id)).one()
    with unit_of_work():
        team.remove(alice.vendor_id, member.id, actor=by(alice), now=clock.business())
    gone = teams.invite(alice, "dave@kilim.example")
    with unit_of_work():
        invitations.withdraw(alice.vendor_id, gone.id, actor=by(alice), now=clock.business())
    events = db.session.execute(
        select(UsageEvent.quantity).where(UsageEvent.metric == Metric.TEAM_MEMBERS).order_by(UsageEvent.id)
    )
    # Alice; Carol invited; Carol removed; Dave invited; Dave's invitation withdrawn.
    assert [row.quantity for row in events] == [1, 1, -1, 1, -1]
    assert (used(alice), held(alice)) == (1, 1)


def test_the_role_is_the_invitations(alice: Someone) -> None:
    carol = teams.accept(teams.invite(alice, role="manager"))
    member = db.session.scalars(select(Membership).where(Membership.user_id == carol.id)).one()
    assert member.role == Role.MANAGER
