"""A chatbot service paid by credits, in dollars (CAT-3)."""

from portal.catalog.presets.shape import Preset, TierSpec
from portal.catalog.rules import ON, Metric
from portal.kit.text import N_

TIERS = (
    TierSpec(
        code="chatbots-basic",
        name=N_("Basic"),
        pitch=N_("One chatbot that answers your visitors day and night."),
        position=110,
        monthly_minor=1900,
        included_credits=1000,
        limits={Metric.CHATBOTS: 1, Metric.STORAGE_GB: 1},
        features={"analytics": "basic", "support": "email", "module_chatbots": ON},
    ),
    TierSpec(
        code="chatbots-pro",
        name=N_("Pro"),
        pitch=N_("Several chatbots in your colours, with figures on what they achieve."),
        position=120,
        monthly_minor=4900,
        included_credits=5000,
        limits={Metric.CHATBOTS: 5, Metric.STORAGE_GB: 5},
        features={"analytics": "advanced", "support": "priority", "custom_branding": ON, "module_chatbots": ON},
        highlighted=True,
    ),
    TierSpec(
        code="chatbots-enterprise",
        name=N_("Enterprise"),
        pitch=N_("As many chatbots as you like, under your name alone, in your own systems."),
        position=130,
        monthly_minor=19900,
        included_credits=25000,
        limits={Metric.CHATBOTS: None, Metric.STORAGE_GB: 50},
        features={
            "analytics": "advanced",
            "support": "dedicated",
            "custom_branding": ON,
            "white_label": ON,
            "api_access": ON,
            "module_chatbots": ON,
        },
    ),
)

PRESET = Preset(currency="USD", tiers=TIERS)
