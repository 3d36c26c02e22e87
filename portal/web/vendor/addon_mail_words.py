"""Which add-on a mail is about, and how much of it: filters of the mails' templates, in the recipient's language.

A size is [unit, number] (``portal.addons.rules.size``). Mails that were written down before sizes were told so have
them as words already, or none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint
from flask_babel import gettext as _
from flask_babel import ngettext

from portal.addons.rules import Unit
from portal.web.kit.filters import number, translated

Size = Sequence[Any] | str | None


def register(blueprint: Blueprint) -> None:
    """Make the filters known to every template of the app that ``blueprint`` belongs to."""
    blueprint.add_app_template_filter(size_words, "addon_size")
    blueprint.add_app_template_filter(detail, "addon_detail")
    blueprint.add_app_template_filter(named, "addon_names")


def size_words(size: Size) -> str:
    """50 GB, 10 email addresses, 3 of them."""
    if isinstance(size, str) or not size:
        return str(size or "")
    unit, count = str(size[0]), int(size[1])
    if unit == Unit.ADDRESSES:
        return ngettext("%(num)s email address", "%(num)s email addresses", count)
    if unit == Unit.GIGABYTES:
        return _("%(count)s GB", count=number(count))
    return ngettext("%(num)s of it", "%(num)s of them", count)


def detail(params: Mapping[str, Any]) -> str:
    """What tells it from others of its kind; empty for a single one that has no name."""
    return _which(params["detail"], params.get("size"))


def named(addons: Sequence[Any] | str) -> str:
    """Several, each with what tells it from others: [[name, which one, size], …]."""
    if isinstance(addons, str):
        return addons
    return ", ".join(_one(*each) for each in addons)


def _one(name: str, shown: str, size: Size) -> str:
    which = _which(shown, size)
    return f"{translated(name)} ({which})" if which else translated(name)


def _which(shown: str, size: Size) -> str:
    is_single = size is not None and list(size) == [Unit.PIECES, 1]
    return ", ".join(part for part in (shown, "" if is_single else size_words(size)) if part)
