"""The keys and webhooks of the operator's own platform (ACC-9): one key speaks for every vendor, so admins alone."""

from flask import Blueprint

from portal.identity.rules import StaffKind
from portal.web.kit import api_pages, audience
from portal.web.kit.api_pages import Place

blueprint = Blueprint("admin_api_keys", __name__)


def _place() -> Place:
    return Place(name=blueprint.name, layout="shared/layout_admin.html")


api_pages.hang(blueprint, "/admin/api-keys", audience.staff(StaffKind.ADMIN), _place)
