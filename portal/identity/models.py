"""Users, vendors, memberships, staff, sessions, sign-in attempts, second factors, refresh tokens."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.identity.rules import Role, StaffKind, Stage
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
