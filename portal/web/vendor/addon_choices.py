"""What becomes of add-ons that the present tier includes and the coming one does not (SUB-5): kept or ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask_babel import gettext as _

from portal.addons import queries as addons
from portal.catalog import queries as catalog
from portal.catalog.rules import AddonPriceTag, Cycle, IncludedAddon
from portal.web.kit.filters import money
from portal.web.public.offers import addon_words

KEEP, END = "keep", "end"


@dataclass(frozen=True, slots=True)
class Label:
    """What the macro for choices reads as a field's label."""

    text: str


@dataclass(frozen=True, slots=True)
class AddonChoice:
    """One add-on to decide on, shaped like a form's field. ``kind`` is how it is set up; ``price`` None: it is not sold
    alone, so it ends.
    """

    addon: IncludedAddon
    kind: str
    price: AddonPriceTag | None
    data: str | None
    errors: tuple[str, ...]

    @property
    def name(self) -> str:
        """The field's name."""
        return f"addon-{self.addon.code}-{self.addon.variant}".rstrip("-")

    @property
    def id(self) -> str:
        """The field's id in the page."""
        return self.name

    @property
    def label(self) -> Label:
        """The add-on, named."""
        return Label(addon_words(self.addon))

    @property
    def options(self) -> list[dict[str, Any]]:
        """Keep it at its list price, or let it end."""
        end = {"value": END, "label": _("It ends then"), "text": self._loses}
        if self.price is None:
            return [end]
        each = _("%(amount)s per year") if self.price.cycle == Cycle.YEARLY else _("%(amount)s per month")
        keep = {"value": KEEP, "label": _("Keep it"), "meta": each % {"amount": money(self.price.amount, whole=True)}}
        return [keep, end]

    @property
    def _loses(self) -> str:
        if self.kind == "mailboxes":
            return _("Mailboxes that end are deleted with their mail.")
        if self.kind == "certificate":
            return _("The private key of a certificate that ends is deleted.")
        return _("Nothing is deleted; it only stops working.")

    def kept(self) -> dict[str, Any]:
        """The decision as the change remembers it."""
        chosen: dict[str, Any] = {"code": self.addon.code, "name": self.addon.name, "variant": self.addon.variant,
                                  "quantity": self.addon.quantity, "keep": self.data == KEEP}  # fmt: skip
        if self.price is not None and self.data == KEEP:
            amount = self.price.amount
            chosen |= {"price_id": self.price.id, "cycle": str(self.price.cycle), "minor": amount.minor,
                       "currency": amount.currency}  # fmt: skip
        return chosen


def choices(
    vendor_id: int, lost: Sequence[IncludedAddon], currency: str, cycle: Cycle, sent: Mapping[str, str] | None = None
) -> list[AddonChoice]:
    """A choice for each add-on that the vendor has and loses, with what was ``sent``; None: nothing was asked yet, so
    nothing is wrong. What was never set up is not there to be kept.

    The list price is that of the coming cycle where there is one, else any.
    """
    had = addons.included_had(vendor_id) if lost else {}
    asked = [addon for addon in lost if addon.code in had]
    tags = catalog.addon_prices({addon.code for addon in asked}, currency) if asked else []
    return [_choice(addon, had[addon.code], _tag(addon, tags, cycle), sent) for addon in asked]


def _tag(addon: IncludedAddon, tags: Sequence[AddonPriceTag], cycle: Cycle) -> AddonPriceTag | None:
    mine = [tag for tag in tags if (tag.code, tag.variant) == (addon.code, addon.variant)]
    return next((tag for tag in mine if tag.cycle == cycle), None) or next(iter(mine), None)


def _choice(addon: IncludedAddon, kind: str, tag: AddonPriceTag | None, sent: Mapping[str, str] | None) -> AddonChoice:
    blank = AddonChoice(addon, kind, tag, END if tag is None else None, ())
    if sent is None or tag is None:
        return blank
    chosen = sent.get(blank.name)
    if chosen in (KEEP, END):
        return replace(blank, data=chosen)
    return replace(blank, errors=(_("Choose whether to keep it."),))


def decided(found: Sequence[AddonChoice]) -> dict[str, Any] | None:
    """All decisions as the change remembers them; None where there was none to take."""
    return {"addons": [choice.kept() for choice in found]} if found else None
