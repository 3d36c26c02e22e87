"""Users, vendors, memberships, invitations, staff, sessions, sign-in attempts, second factors, tokens, keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.identity.rules import KeyScope, Role, StaffKind, Stage
from portal.kit.db import BigId, Code, Id, Model, StripeId, TenantMixin, one_of


class User(Model):
    """A login. ``email_key`` is the address as it is compared."""

    __tablename__ = "users"
    id: Mapped[Id]
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    password_hash: Mapped[str | None]
    locale: Mapped[str] = mapped_column(String(10), default="en")
    theme: Mapped[str] = mapped_column(String(5), default="auto")
    email_verified_at: Mapped[datetime | None]
    blocked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Vendor(Model):
    """The tenant root. ``code`` is its slug in URLs."""

    __tablename__ = "vendors"
    id: Mapped[Id]
    code: Mapped[Code] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(120))
    stage: Mapped[str] = mapped_column(String(12), default=Stage.ONBOARDING)
    stripe_customer_id: Mapped[StripeId | None] = mapped_column(unique=True)
    legal_name: Mapped[str | None]
    vat_id: Mapped[str | None] = mapped_column(String(32))
    address: Mapped[dict[str, Any] | None]
    locale: Mapped[str] = mapped_column(String(10), default="en")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    blocked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    memberships: Mapped[list["Membership"]] = relationship(back_populates="vendor")
    __table_args__ = (one_of("stage", Stage), Index(None, "created_at", "id"), Index(None, "name", "id"))


class Membership(TenantMixin, Model):
    """A person's role for a vendor; exactly one owner."""

    __tablename__ = "memberships"
    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime]
    user: Mapped[User] = relationship()
    vendor: Mapped[Vendor] = relationship(back_populates="memberships")
    __table_args__ = (
        UniqueConstraint("vendor_id", "user_id"),
        Index(
            "uq_memberships_one_owner",
            "vendor_id",
            unique=True,
            sqlite_where=text("role = 'owner'"),
            postgresql_where=text("role = 'owner'"),
        ),
        one_of("role", Role),
    )


class StaffRole(Model):
    """One of the operator's people."""

    __tablename__ = "staff_roles"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime]
    __table_args__ = (one_of("role", StaffKind),)


class UserSession(Model):
    """A signed-in browser; only the token's hash is kept."""

    __tablename__ = "sessions"
    id: Mapped[Id]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class SignIn(Model):
    """An attempt to sign in, counted in the database so that many processes agree on the limit."""

    __tablename__ = "sign_ins"
    id: Mapped[Id]
    email_key: Mapped[str] = mapped_column(String(254))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    succeeded: Mapped[bool]
    at: Mapped[datetime]
    __table_args__ = (Index(None, "email_key", "at"),)


class SecondFactor(Model):
    """A person's authenticator app. Counts once it is confirmed; ``last_step`` is the newest half minute used.

    ``secret`` is sealed (kit.crypto) and bound to its owner.
    """

    __tablename__ = "second_factors"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    secret: Mapped[str] = mapped_column(Text)
    last_step: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Model):
    """A way in for somebody whose phone is gone; only the hash is kept, and it opens once."""

    __tablename__ = "recovery_codes"
    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    code_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("user_id", "code_hash"),)


class RefreshToken(Model):
    """A refresh token of the JSON interface; rotated, and its family revoked when one is used twice."""

    __tablename__ = "refresh_tokens"
    id: Mapped[Id]
    family: Mapped[str] = mapped_column(String(32), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)
    scope: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Invitation(TenantMixin, Model):
    """Somebody is asked to join a vendor's team (ACC-8). It holds a seat until it is accepted, withdrawn or runs out.

    Only the token's hash is kept; the link is signed when the mail is rendered.
    """

    __tablename__ = "invitations"
    id: Mapped[Id]
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(10))
    locale: Mapped[str] = mapped_column(String(10), default="en")
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    invited_by: Mapped[str] = mapped_column(String(120))
    sent_count: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    accepted_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("role", ("manager", "member")),
        Index(
            "uq_invitations_one_open",
            "vendor_id",
            "email_key",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        CheckConstraint("accepted_at IS NULL OR ended_at IS NOT NULL", name="accepted"),
        Index(None, "ended_at", "expires_at"),
    )


class ApiKey(TenantMixin, Model):
    """A key of the JSON interface (ACC-9). Of a vendor, or (scope platform) of the operator's own backend.

    ``prefix`` is shown and looked up, the rest is kept as a hash; ``scopes`` says what the key reaches.
    """

    __tablename__ = "api_keys"
    id: Mapped[Id]
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)  # type: ignore[assignment]
    scope: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(80))
    prefix: Mapped[str] = mapped_column(String(24), unique=True)
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[Any]]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_by: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("scope", KeyScope),
        CheckConstraint(
            "(scope = 'vendor' AND vendor_id IS NOT NULL) OR (scope = 'platform' AND vendor_id IS NULL)", name="owner"
        ),
    )
