"""A certificate that the operator obtains: for whom it is, the vendor's own request, and what came of it."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import FileField
from wtforms import SelectField, StringField
from wtforms.validators import DataRequired, Length

from portal.addons import certificates, domain_names
from portal.addons import provisioning_queries as queries
from portal.addons.certificate_rules import LARGEST, NO_REQUEST
from portal.addons.certificates import CertificateView
from portal.addons.providers import Place
from portal.addons.provisioning_queries import Setup
from portal.addons.rules import StepState
from portal.identity.rules import Role, at_least
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, TooLarge
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, countries, responder, signed_in, uploads
from portal.web.kit.audience import Needs
from portal.web.kit.forms import Form

blueprint = Blueprint("vendor_certificate", __name__)
TEMPLATE = "vendor/provisioning/certificate.html"
PATH = "/vendor/<code>/addons/<int:addon_id>/certificate"


class DetailsForm(Form):
    """Whom the certificate names."""

    company = StringField(
        _l("Company"),
        description=_l("As it is registered: the authority looks it up."),
        validators=[
            DataRequired(_l("Enter the company's name as it is registered.")),
            Length(max=64, message=_l("Use at most 64 characters.")),
        ],
    )
    country = SelectField(
        _l("Country"), choices=countries.choices, validate_choice=False, validators=[countries.must_be_chosen]
    )
    domain = StringField(_l("Domain"), validators=[DataRequired(_l("Enter the domain that the certificate is for."))])


class RequestForm(Form):
    """The vendor's own request."""

    own_domain = StringField(
        _l("Domain"), validators=[DataRequired(_l("Enter the domain that the certificate is for."))]
    )
    request = FileField(_l("Certificate request (CSR)"), description=_l("A text file, 64 KB at most."))


@blueprint.get(PATH)
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def form(code: str, addon_id: int) -> Response:
    """What is asked for, or what there is by now."""
    return _page(_setup(addon_id))


@blueprint.post(PATH)
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def details(code: str, addon_id: int) -> Response:
    """Company, country and domain; the key is made here and kept sealed."""
    setup, filled = _setup(addon_id), DetailsForm()
    if not filled.validate():
        return _page(setup, details=filled, status=422)
    try:
        name = domain_names.parse(filled.domain.data)
        with unit_of_work():
            certificates.take_details(
                setup.vendor_id, addon_id, name.ascii, name.shown, filled.company.data,
                filled.country.data, now=clock.business(),
            )  # fmt: skip
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _page(setup, details=filled, status=error.status)
    return _done(setup, _("Thank you. We order the certificate now."))


@blueprint.post(f"{PATH}/request")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
@uploads.takes_files(LARGEST)
def own_request(code: str, addon_id: int) -> Response:
    """A request that the vendor made itself; its key never comes here."""
    setup, filled = _setup(addon_id), RequestForm()
    sent = request.files.get("request")
    if not filled.validate() or sent is None or not sent.filename:
        if sent is None or not sent.filename:
            filled.request.errors = [_("Choose a file first.")]
        return _page(setup, own=filled, status=422)
    try:
        _take(setup, filled.own_domain.data, sent.stream.read(LARGEST + 1))
    except (Invalid, TooLarge, Conflict) as error:
        filled.refuse(_at_its_field(error))
        return _page(setup, own=filled, status=error.status)
    return _done(setup, _("Thank you. We order the certificate now."))


def _take(setup: Setup, domain: str, sent: bytes) -> None:
    name = domain_names.parse(domain)
    try:
        text = sent.decode("ascii")
    except UnicodeDecodeError as error:
        raise Invalid(fields={"request": NO_REQUEST}) from error
    with unit_of_work():
        certificates.take_request(setup.vendor_id, setup.addon_id, text, name.ascii, now=clock.business())


def _at_its_field(error: Any) -> Any:
    """What is wrong with the domain belongs to this form's own field of it."""
    if "domain" in error.fields:
        error.fields["own_domain"] = error.fields.pop("domain")
    return error


@blueprint.get(f"{PATH}/<int:certificate_id>/chain")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def chain(code: str, addon_id: int, certificate_id: int) -> Response:
    """The certificate with those that vouch for it, as a file; it is public anyway."""
    found = _one(addon_id, certificate_id)
    if found.chain_pem is None:
        raise NotFound
    return attachment(found.chain_pem, f"{found.name}.pem")


@blueprint.post(f"{PATH}/<int:certificate_id>/key")
@audience.vendor(role=Role.OWNER, needs=Needs.ACCOUNT)
def key(code: str, addon_id: int, certificate_id: int) -> Response:
    """The private key, for the owner alone; that it was taken stands in the history."""
    found = _one(addon_id, certificate_id)
    with unit_of_work():
        plain = certificates.private_key(
            signed_in.vendor().id, addon_id, certificate_id, actor=signed_in.actor(), now=clock.business()
        )
    return attachment(plain, f"{found.name}.key")


def attachment(text: str, name: str) -> Response:
    """A text file to keep; never shown by the browser."""
    response = Response(text, mimetype="application/x-pem-file")
    response.headers["Content-Disposition"] = f'attachment; filename="{name.replace("*", "star")}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


def _setup(addon_id: int) -> Setup:
    setup = queries.of_addon(signed_in.vendor().id, addon_id)
    if setup.provisioning != "certificate":
        raise NotFound
    return setup


def _one(addon_id: int, certificate_id: int) -> CertificateView:
    found = certificates.of_addon(signed_in.vendor().id, addon_id)
    for each in found:
        if each.id == certificate_id:
            return each
    raise NotFound


def _done(setup: Setup, message: str) -> Response:
    here = url_for("vendor_provisioning.steps", code=setup.vendor_code, addon_id=setup.addon_id)
    return responder.done(here, message, f"setup-{setup.addon_id}-changed")


def _page(
    setup: Setup, *, details: DetailsForm | None = None, own: RequestForm | None = None, status: int = 200
) -> Response:
    vendor = signed_in.vendor()
    current = setup.current
    waits = current is not None and current.place == Place.CERTIFICATE and current.state == StepState.WAITING_VENDOR
    return responder.respond(
        TEMPLATE,
        status=status,
        vendor=vendor,
        setup=setup,
        waits=waits,
        found=certificates.of_addon(vendor.id, setup.addon_id),
        details=details or _known(setup),
        own=own or RequestForm(None),
        is_owner=at_least(vendor.role, Role.OWNER),
    )


def _known(setup: Setup) -> DetailsForm:
    blank = DetailsForm(None)
    blank.company.data, blank.country.data = setup.config.get("company", ""), setup.config.get("country", "")
    blank.domain.data = setup.config.get("shown", "")
    return blank
