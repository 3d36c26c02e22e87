"""The operator's colour as a style sheet; every shade of the pages derives from it."""

from flask import Blueprint, Response, request, url_for

from portal.settings import queries as settings
from portal.web.kit import audience

blueprint = Blueprint("public_brand", __name__)


def href() -> str:
    """The sheet's address; a new colour has a new one."""
    return url_for("public_brand.css", v=settings.current().accent.removeprefix("#"))


@blueprint.get("/brand.css")
@audience.public
def css() -> Response:
    """One custom property. Cached for a year only under the present colour's address."""
    accent = settings.current().accent
    response = Response(f":root{{--brand-accent:{accent}}}\n", mimetype="text/css")
    fresh = request.args.get("v") == accent.removeprefix("#")
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if fresh else "no-cache"
    return response
