"""An agency that builds and runs its clients' projects, in dollars (CAT-3)."""

from portal.catalog.presets.shape import Preset, TierSpec
from portal.catalog.rules import ON, Metric
from portal.kit.text import N_

TIERS = (
    TierSpec(
        code="agency-starter",
        name=N_("Starter"),
        pitch=N_("One project, planned, built and looked after."),
        position=210,
        monthly_minor=9900,
        limits={Metric.PROJECTS: 1, Metric.STORAGE_GB: 5},
        features={"analytics": "basic", "support": "email"},
    ),
    TierSpec(
        code="agency-growth",
        name=N_("Growth"),
        pitch=N_("Three projects side by side, and answers the same day."),
        position=220,
        monthly_minor=24900,
        limits={Metric.PROJECTS: 3, Metric.STORAGE_GB: 20},
        features={"analytics": "advanced", "support": "priority", "custom_branding": ON},
        highlighted=True,
    ),
    TierSpec(
        code="agency-scale",
        name=N_("Scale"),
        pitch=N_("Ten projects with a team that knows them all."),
        position=230,
        monthly_minor=59900,
        limits={Metric.PROJECTS: 10, Metric.STORAGE_GB: 100},
        features={"analytics": "advanced", "support": "dedicated", "custom_branding": ON, "api_access": ON},
    ),
)

PRESET = Preset(currency="USD", tiers=TIERS)
