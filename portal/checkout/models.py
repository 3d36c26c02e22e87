"""Orders, their items, and the purchases they became."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.checkout.rules import OrderState
from portal.kit.db import BigId, Currency, Id, JsonB, Model, StripeId, TenantMixin, one_of


class Order(TenantMixin, Model):
    """What somebody asked to buy, with the price as it was then. Fulfilled at most once.

    ``attempt`` counts the Checkout sessions opened for it and is part of their idempotency key; ``asked_minor`` is
    what one cycle costs, and what is due today depends on ``free_until``. ``price_id`` is a tier's; an add-on has its
    price on the item.
    """

    __tablename__ = "orders"
    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(String(20))
    provider: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12), default=OrderState.OPEN)
    price_id: Mapped[int | None] = mapped_column(ForeignKey("tier_prices.id"))
    currency: Mapped[Currency]
    asked_minor: Mapped[int]
    free_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=1)
    stripe_session_id: Mapped[StripeId | None] = mapped_column(unique=True)
    checkout_url: Mapped[str | None] = mapped_column(Text)
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), unique=True)
    expires_at: Mapped[datetime]
    note: Mapped[str | None] = mapped_column(Text)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    fulfilled_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("state", OrderState),
        one_of("kind", ("subscription", "addon")),
        CheckConstraint("(kind = 'subscription') = (price_id IS NOT NULL)", name="price"),
        one_of("provider", ("stripe", "transfer")),
        CheckConstraint("(state = 'fulfilled') = (fulfilled_at IS NOT NULL)", name="fulfilled"),
    )


class OrderItem(TenantMixin, Model):
    """A line of an order, as a snapshot. An add-on's has its price, and in ``config`` what it is to be set up with."""

    __tablename__ = "order_items"
    id: Mapped[Id]
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    description: Mapped[str]
    quantity: Mapped[int] = mapped_column(default=1)
    amount_minor: Mapped[int]
    stripe_price_id: Mapped[StripeId | None]
    addon_price_id: Mapped[int | None] = mapped_column(ForeignKey("addon_prices.id"))
    config: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity"),)


class Purchase(TenantMixin, Model):
    """The record of something bought: what, which price, when, how paid."""

    __tablename__ = "purchases"
    id: Mapped[Id]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    tier_id: Mapped[int | None] = mapped_column(ForeignKey("subscription_tiers.id"))
    addon_id: Mapped[int | None] = mapped_column(ForeignKey("addon_products.id"))
    stripe_price_id: Mapped[StripeId | None]
    description: Mapped[str]
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    provider: Mapped[str] = mapped_column(String(10))
    details: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    paid_at: Mapped[datetime]
