"""A platform for merchants, in euros (CAT-3), with the add-ons of CAT-4."""

from portal.catalog.presets.shape import AddonPriceSpec, AddonSpec, Preset, TierSpec
from portal.catalog.rules import ON, Cycle, Metric
from portal.kit.text import N_

#: The modules that spend the included credits come with every tier; those that work by themselves with a larger one.
MODULES = {"module_sites": ON, "module_planner": ON, "module_writer": ON}
ALL_MODULES = {**MODULES, "module_automation": ON}

ADDONS = (
    AddonSpec(
        code="custom-domain",
        name=N_("Custom domain"),
        pitch=N_("Your shop under your own name, registered and renewed for you."),
        position=10,
        provisioning="domain",
        grants={"": {Metric.DOMAINS: 1}},
        prices=(AddonPriceSpec(Cycle.YEARLY, 1500),),
    ),
    AddonSpec(
        code="email-package",
        name=N_("Email package"),
        pitch=N_("Mailboxes at your own domain, for you and your team."),
        position=20,
        provisioning="mailboxes",
        grants={"5": {Metric.MAILBOXES: 5}, "10": {Metric.MAILBOXES: 10}, "25": {Metric.MAILBOXES: 25}},
        prices=(
            AddonPriceSpec(Cycle.MONTHLY, 500, "5"),
            AddonPriceSpec(Cycle.MONTHLY, 900, "10"),
            AddonPriceSpec(Cycle.MONTHLY, 1900, "25"),
        ),
    ),
    AddonSpec(
        code="premium-ssl",
        name=N_("Premium SSL"),
        pitch=N_("A certificate that names your company, renewed before it runs out."),
        position=30,
        provisioning="certificate",
        grants={"": {Metric.CERTIFICATES: 1}},
        prices=(AddonPriceSpec(Cycle.YEARLY, 4900),),
        promised_hours=120,
    ),
    AddonSpec(
        code="extra-storage",
        name=N_("Extra storage"),
        pitch=N_("Ten more gigabytes for pictures and documents; take as many as you need."),
        position=40,
        provisioning="storage",
        grants={"": {Metric.STORAGE_GB: 10}},
        prices=(AddonPriceSpec(Cycle.MONTHLY, 500),),
        max_quantity=100,
        promised_hours=1,
    ),
)

TIERS = (
    TierSpec(
        code="essential",
        name=N_("Essential"),
        pitch=N_("Open your shop and take the first orders."),
        position=10,
        monthly_minor=4900,
        included_credits=500,
        limits={
            Metric.ORDERS: 100,
            Metric.PRODUCTS: 200,
            Metric.TEAM_MEMBERS: 1,
            Metric.SITES: 1,
            Metric.STORAGE_GB: 1,
        },
        features={"analytics": "basic", "support": "email", **MODULES},
    ),
    TierSpec(
        code="professional",
        name=N_("Professional"),
        pitch=N_("For shops that sell every day and work as a team."),
        position=20,
        monthly_minor=9900,
        included_credits=2000,
        limits={
            Metric.ORDERS: 500,
            Metric.PRODUCTS: None,
            Metric.TEAM_MEMBERS: 3,
            Metric.SITES: 3,
            Metric.STORAGE_GB: 5,
        },
        features={"analytics": "advanced", "support": "priority", "custom_branding": ON, **ALL_MODULES},
        included={("custom-domain", ""): 1},
        highlighted=True,
    ),
    TierSpec(
        code="business",
        name=N_("Business"),
        pitch=N_("Several brands, a whole team, and everything connected."),
        position=30,
        monthly_minor=19900,
        included_credits=10000,
        limits={
            Metric.ORDERS: 2000,
            Metric.PRODUCTS: None,
            Metric.TEAM_MEMBERS: 10,
            Metric.SITES: 10,
            Metric.STORAGE_GB: 20,
        },
        features={
            "analytics": "advanced",
            "support": "priority",
            "custom_branding": ON,
            "api_access": ON,
            **ALL_MODULES,
        },
        included={("custom-domain", ""): 1, ("email-package", "5"): 1},
    ),
    TierSpec(
        code="enterprise",
        name=N_("Enterprise"),
        pitch=N_("No limits, your own terms, and a person who knows your shop."),
        position=40,
        monthly_minor=None,
        included_credits=25000,
        limits={
            Metric.ORDERS: None,
            Metric.PRODUCTS: None,
            Metric.TEAM_MEMBERS: None,
            Metric.SITES: None,
            Metric.STORAGE_GB: None,
        },
        features={
            "analytics": "advanced",
            "support": "dedicated",
            "custom_branding": ON,
            "white_label": ON,
            "api_access": ON,
            **ALL_MODULES,
        },
        included={
            ("custom-domain", ""): 1,
            ("email-package", "25"): 1,
            ("premium-ssl", ""): 1,
            ("extra-storage", ""): 1,
        },
    ),
)

PRESET = Preset(currency="EUR", tiers=TIERS, addons=ADDONS)
