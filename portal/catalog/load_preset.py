"""Loading a preset: what it names becomes so, what it does not name stays, nothing is deleted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.audit import service as audit
from portal.catalog import prices
from portal.catalog.models import AddonProduct, SubscriptionTier, TierAddon, TierFeature, TierLimit
from portal.catalog.presets import PRESETS
from portal.catalog.presets.shape import AddonSpec, Preset, TierSpec
from portal.catalog.rules import LoadReport, price_name
from portal.kit.actor import Actor
from portal.kit.db import Model, db
from portal.kit.errors import Invalid
from portal.kit.money import Money
from portal.kit.text import N_


def load_preset(name: str, *, actor: Actor, now: datetime) -> LoadReport:
    """Bring the catalog in step with a preset (CAT-3) and say what changed; loading it again changes nothing.

    A changed amount is a new price row; a tier that was retired stays retired, and what staff changed of an add-on
    (words, promises, order, prices) stays as they wrote it. Raises Invalid (field ``preset``) for
    a name that no preset has.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise Invalid(fields={"preset": N_("There is no preset of this name.")})
    changes: list[str] = []
    kept: list[str] = []
    addons = {spec.code: _addon(spec, preset, changes, kept, now) for spec in preset.addons}
    for tier in preset.tiers:
        _tier(tier, preset, addons, changes, now)
    if changes:
        audit.record(actor, "catalog.preset_loaded", vendor_id=None, data={"preset": name, "changes": changes}, now=now)
    return LoadReport(tuple(changes), tuple(kept))


def _tier(spec: TierSpec, preset: Preset, addons: Mapping[str, int], changes: list[str], now: datetime) -> None:
    values = {
        "name": spec.name,
        "pitch": spec.pitch,
        "position": spec.position,
        "trial_days": spec.trial_days,
        "included_credits": spec.included_credits,
        "credit_policy": spec.credit_policy,
        "rollover_cap": spec.rollover_cap,
        "self_service": spec.self_service,
        "highlighted": spec.highlighted,
    }
    said = f"tier {spec.code}"
    tier_id = _ensure(SubscriptionTier, {"code": spec.code}, values, {"created_at": now}, said, changes)
    for metric, value in spec.limits.items():
        key = {"tier_id": tier_id, "metric": metric}
        _ensure(TierLimit, key, {"value": value}, {}, f"{said}, limit {metric}", changes)
    for feature, level in spec.features.items():
        key = {"tier_id": tier_id, "feature": feature}
        _ensure(TierFeature, key, {"value": level}, {}, f"{said}, feature {feature}", changes)
    for cycle, minor in spec.prices().items():
        amount = Money(minor, preset.currency)
        if prices.set_tier_price(tier_id, cycle, amount, vendor_id=None, now=now):
            changes.append(f"{said}: {cycle} price is now {minor} {preset.currency} (minor units)")
    _sell_addons(spec, tier_id, preset, addons, changes)


def _sell_addons(spec: TierSpec, tier_id: int, preset: Preset, addons: Mapping[str, int], changes: list[str]) -> None:
    """Which add-ons the tier may buy, and how many of each it brings along (CAT-4)."""
    for addon in preset.addons:
        if "tiers" in _edited(addon.code):
            continue
        for variant in addon.grants:
            key = {"tier_id": tier_id, "addon_id": addons[addon.code], "variant": variant}
            included = {"included": spec.included.get((addon.code, variant), 0)}
            _ensure(TierAddon, key, included, {}, f"tier {spec.code}, add-on {addon.code} {variant}".rstrip(), changes)


def _addon(spec: AddonSpec, preset: Preset, changes: list[str], kept: list[str], now: datetime) -> int:
    values = {
        "name": spec.name,
        "pitch": spec.pitch,
        "position": spec.position,
        "provisioning": spec.provisioning,
        "grants": spec.grants_json(),
        "max_quantity": spec.max_quantity,
        "promised_hours": spec.promised_hours,
    }
    theirs = _edited(spec.code)
    kept.extend(f"add-on {spec.code}: {name} stays as staff changed it" for name in theirs)
    values = {name: value for name, value in values.items() if name not in theirs}
    addon_id = _ensure(AddonProduct, {"code": spec.code}, values, {"created_at": now}, f"add-on {spec.code}", changes)
    for price in spec.prices:
        if price_name(price.variant, price.cycle, preset.currency) in theirs:
            continue
        amount = Money(price.amount_minor, preset.currency)
        if prices.set_addon_price(addon_id, price.variant, price.cycle, amount, now=now):
            said = f"add-on {spec.code} {price.variant}".rstrip()
            changes.append(f"{said}: {price.cycle} price is now {amount.minor} {amount.currency} (minor units)")
    return addon_id


def _edited(code: str) -> list[str]:
    """What staff changed of an add-on and a preset therefore leaves alone."""
    return db.session.scalar(select(AddonProduct.edited).where(AddonProduct.code == code)) or []


def _ensure(
    model: type[Model],
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    at_first: Mapping[str, Any],
    said: str,
    changes: list[str],
) -> int:
    """Insert the row or set what differs; adds a line to ``changes`` when it did either. Gives the row's id."""
    row: Any = db.session.scalar(select(model).filter_by(**key).with_for_update())
    if row is None:
        row = model(**key, **values, **at_first)
        db.session.add(row)
        changes.append(f"{said}: added")
    else:
        changed = [name for name, value in values.items() if getattr(row, name) != value]
        for name in changed:
            setattr(row, name, values[name])
        changes.extend(f"{said}: {name} changed" for name in changed)
    db.session.flush()
    return int(row.id)
