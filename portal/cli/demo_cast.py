"""Who appears in the demo: vendors in every standing, with what happened to them and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from portal.catalog.rules import Cycle, Metric
from portal.identity.rules import Role

#: The one password of the demo. Production refuses the demo, so it opens nothing that matters.
PASSWORD = "walnut-lantern-harbour-7"  # noqa: S105 - shown to everybody who starts the demo
OWNER_EMAIL = "owner@demo.example"
ADMIN_EMAIL, ADMIN_NAME = "admin@demo.example", "Ada Okonkwo"

#: How long before the present the demo's history begins.
SPAN = timedelta(days=97)


@dataclass(frozen=True, slots=True)
class Change:
    """An admin changes the tier, ``ago`` days before the present: now, or at the next cycle."""

    tier: str
    ago: int
    at_next_cycle: bool = False


@dataclass(frozen=True, slots=True)
class Extra:
    """An add-on, ``ago`` days before the present; ``name`` is the domain's. ``left``: cancelled so many days ago."""

    code: str
    ago: int
    variant: str = ""
    quantity: int = 1
    name: str = ""
    included: bool = False
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody whom the owner invites on the first day, and who joins."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's story. Days count back from the present; ``pays_after`` counts from joining.

    ``orders`` is a usual day's number, ``ceiling`` the most in a month. Every card is one person's: a trial is given
    once per card. ``card`` 4000000000000341 can be saved, and then every charge fails.
    """

    name: str
    owner: str
    email: str
    tier: str
    joined: int
    orders: int
    levels: Mapping[Metric, int]
    team: tuple[Colleague, ...] = ()
    cycle: Cycle = Cycle.MONTHLY
    pays_after: int | None = None
    card: str = ""
    ceiling: int = 1_000_000
    change: Change | None = None
    gift: int = 0
    extras: tuple[Extra, ...] = ()


def _levels(products: int, sites: int) -> Mapping[Metric, int]:
    return MappingProxyType({Metric.PRODUCTS: products, Metric.SITES: sites})


def _colleagues(*names: str) -> tuple[Colleague, ...]:
    """The first of them is a manager, the others are members."""
    return tuple(Colleague(name, Role.MEMBER if place else Role.MANAGER) for place, name in enumerate(names))


#: Everybody, in the order in which they join.
CAST = (
    # 14 days of trial, then two months: 20 or so days into the third, orders close to the limit of 100.
    Vendor(
        name="Saffron & Sons",
        owner="Leyla Demir",
        email="leyla@saffron.example",
        tier="essential",
        joined=96,
        pays_after=11,
        card="4242424242420000",
        orders=6,
        ceiling=96,
        levels=_levels(188, 1),
        extras=(Extra("custom-domain", ago=12, name="www.saffron-sons.de"),),
    ),
    Vendor(
        name="Nordlicht Ceramics",
        owner="Jonas Petersen",
        email="jonas@nordlicht.example",
        tier="professional",
        joined=92,
        pays_after=9,
        card="4242424242420018",
        orders=9,
        levels=_levels(640, 2),
        team=_colleagues("Wiebke Janssen"),
        gift=250,
        extras=(
            Extra("extra-storage", ago=22, quantity=2),
            Extra("custom-domain", ago=18, name="www.nordlicht-keramik.de", included=True),
        ),
    ),
    Vendor(
        name="Atlas Outdoor",
        owner="Maya Lindqvist",
        email="maya@atlas.example",
        tier="business",
        cycle=Cycle.YEARLY,
        joined=80,
        pays_after=13,
        card="4242424242420026",
        orders=45,
        levels=_levels(5210, 4),
        team=_colleagues("Erik Lund", "Priya Nair", "Tom Okafor", "Ana Sousa", "Ben Carter", "Yuki Mori"),
    ),
    Vendor(
        name="Meridian Living",
        owner="Sofia Conti",
        email="sofia@meridian.example",
        tier="essential",
        joined=60,
        pays_after=5,
        card="4242424242420034",
        orders=3,
        levels=_levels(96, 1),
        change=Change("professional", ago=10),
        extras=(Extra("extra-storage", ago=8, left=1),),
    ),
    Vendor(
        name="Fjord Coffee",
        owner="Ingrid Dahl",
        email="ingrid@fjord.example",
        tier="business",
        joined=50,
        pays_after=12,
        card="4242424242420042",
        orders=21,
        levels=_levels(74, 2),
        team=_colleagues("Nils Berg", "Sara Haugen", "Ola Vik"),
        change=Change("professional", ago=4, at_next_cycle=True),
    ),
    Vendor(
        name="Otto's Bikes",
        owner="Otto Brandt",
        email="otto@bikes.example",
        tier="professional",
        joined=26,
        orders=4,
        levels=_levels(41, 1),
        team=_colleagues("Greta Brandt"),
    ),
    # Its first charge, 14 days after joining, was refused four days ago.
    Vendor(
        name="Bluebird Books",
        owner="Hannah Weiss",
        email="hannah@bluebird.example",
        tier="essential",
        joined=18,
        pays_after=8,
        card="4000000000000341",
        orders=2,
        levels=_levels(120, 1),
    ),
    # The visitor's own: nine days into a trial of 14, nothing paid yet.
    Vendor(
        name="Kilim House",
        owner="Elif Aydin",
        email=OWNER_EMAIL,
        tier="professional",
        joined=9,
        orders=12,
        levels=_levels(312, 1),
        team=_colleagues("Deniz Kaya"),
    ),
)
