"""Catalogs that can be loaded as they are: data alone. Texts are message ids, translated where they are shown."""

from portal.catalog.presets import agency, chatbots, marketplace
from portal.catalog.presets.shape import Preset

PRESETS: dict[str, Preset] = {
    "marketplace": marketplace.PRESET,
    "chatbots": chatbots.PRESET,
    "agency": agency.PRESET,
}
