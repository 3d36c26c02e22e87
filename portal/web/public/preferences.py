"""Language, theme and the vendor one works for."""

from flask import Blueprint, Response, current_app, request, session, url_for

from portal.identity import service as identity
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs

blueprint = Blueprint("public_preferences", __name__)
THEMES = ("auto", "light", "dark")


@blueprint.post("/preferences")
@audience.public
def save() -> Response:
    """Keep ``locale`` and ``theme``: in this browser, and for a signed-in person on every device."""
    locale = _one_of("locale", current_app.config["LANGUAGES"])
    theme = _one_of("theme", THEMES)
    for name, value in (("locale", locale), ("theme", theme)):
        if value:
            session[name] = value
    if who := signed_in.visitor():
        with unit_of_work():
            identity.prefer(who.user_id, locale=locale, theme=theme)
    return responder.go(responder.safe_next(request.form.get("next")) or url_for("public_home.index"))


def _one_of(name: str, allowed: tuple[str, ...]) -> str | None:
    """The value sent under this name, None when none was; Invalid for anything that is not offered."""
    value = request.form.get(name)
    if value is not None and value not in allowed:
        raise Invalid(fields={name: N_("Choose one of the options.")})
    return value


@blueprint.post("/vendors/<code>/choose")
@audience.vendor(needs=Needs.ACCOUNT)
def choose_vendor(code: str) -> Response:
    """Work for this vendor from now on; one that is not the person's is 404 (the guard sees to it)."""
    session["vendor"] = signed_in.vendor().id
    return responder.go(url_for("vendor_dashboard.index"))
