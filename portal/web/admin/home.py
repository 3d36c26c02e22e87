"""The front door of the back office."""

from flask import Blueprint, Response, url_for

from portal.web.kit import audience, responder

blueprint = Blueprint("admin_home", __name__)


@blueprint.get("/admin")
@audience.staff()
def index() -> Response:
    """To the vendors: what staff come for."""
    return responder.go(url_for("admin_vendors.index"))
