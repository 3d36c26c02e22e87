"""API keys and outgoing webhooks as pages: the same for a vendor and for the operator's platform.

A door makes a ``Place`` and hangs the views under its own address and audience. A secret is on the answer to the POST
that made it and nowhere else: no session, no redirect, no second look.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.audit import service as audit
from portal.gateways import outgoing
from portal.identity import api_keys
from portal.identity.api_key_rules import REACH_NAMES
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhook_queries, webhooks
from portal.notifications.webhook_rules import KINDS, OVERLAP, TEST, TRIES
from portal.web.kit import responder, signed_in
from portal.web.kit.api_forms import EndpointForm, KeyForm

FOLDER = "shared/api_access/"
KEYS_CHANGED, ENDPOINTS_CHANGED, DELIVERIES_CHANGED = "api-keys-changed", "endpoints-changed", "deliveries-changed"


@dataclass(frozen=True, slots=True)
class Place:
    """Whose keys: a vendor's (``args`` names it in addresses) or, with no vendor, the platform's.

    ``need`` raises what stands in the way of something new; ``missing`` says beforehand that it would.
    """

    name: str
    layout: str
    vendor_id: int | None = None
    vendor_name: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    missing: Callable[[], bool] = lambda: False
    need: Callable[[], None] = lambda: None

    def url(self, view: str, **values: Any) -> str:
        """The address of one of these pages."""
        return url_for(f"{self.name}.{view}", **{**self.args, **values})


Find = Callable[[], Place]
Guard = Callable[[Callable[..., Any]], Callable[..., Any]]


def hang(blueprint: Blueprint, prefix: str, guard: Guard, find: Find) -> None:
    """Hang every view under ``prefix``; ``guard`` declares the audience of each."""
    for name, (methods, path, view) in VIEWS.items():
        blueprint.add_url_rule(prefix + path, name, guard(_at(find, view)), methods=methods)


def _at(find: Find, view: Callable[..., Response]) -> Callable[..., Response]:
    def answer(code: str = "", **ids: int) -> Response:
        return view(find(), **ids)

    answer.__doc__ = view.__doc__
    return answer


def index(place: Place) -> Response:
    """Keys, endpoints and what was sent last."""
    return _show(place, "page", None)


def keys(place: Place) -> Response:
    """The keys alone, when one was made or revoked."""
    return _region(place, "keys", keys=api_keys.of(place.vendor_id))


def endpoints(place: Place) -> Response:
    """The endpoints alone, when something about them changed."""
    return _region(place, "endpoints", endpoints=webhook_queries.endpoints(place.vendor_id))


def deliveries(place: Place) -> Response:
    """What was sent, page by page."""
    return _region(place, "deliveries", sent=webhook_queries.deliveries(place.vendor_id, request.args.get("page")))


def new_key(place: Place) -> Response:
    """The form for a key."""
    if place.missing():
        place.need()
    return _show(place, "new_key", "modal", form=KeyForm(None))


def make_key(place: Place) -> Response:
    """Make a key and show it, this once."""
    place.need()
    form, now = KeyForm(), clock.business()
    if not form.validate():
        return _show(place, "new_key", "modal", 422, form=form)
    try:
        with unit_of_work():
            made = api_keys.create(
                place.vendor_id, name=form.name.data or "", scopes=form.scopes.data or [], days=form.lifetime,
                actor=signed_in.actor(), now=now,
            )  # fmt: skip
    except (Invalid, Conflict) as error:
        form.refuse(error)
        return _show(place, "new_key", "modal", error.status, form=form)
    shown = _show(place, "secret", "modal", kind="key", secret=made.text, named=form.name.data)
    return responder.waking(shown, KEYS_CHANGED)


def ask_revoke(place: Place, key_id: int) -> Response:
    """The question before a key ends."""
    return _show(place, "revoke", "modal", key=api_keys.one(place.vendor_id, key_id))


def revoke(place: Place, key_id: int) -> Response:
    """End a key."""
    with unit_of_work():
        api_keys.revoke(place.vendor_id, key_id, actor=signed_in.actor(), now=clock.business())
    return responder.done(place.url("index"), _("The key is revoked. It no longer opens anything."), KEYS_CHANGED)


def new_endpoint(place: Place) -> Response:
    """The form for an endpoint."""
    if place.missing():
        place.need()
    return _show(place, "new_endpoint", "modal", form=EndpointForm(None))


def add_endpoint(place: Place) -> Response:
    """Add an endpoint and show its signing secret, this once."""
    place.need()
    form, now = EndpointForm(), clock.business()
    if not form.validate():
        return _show(place, "new_endpoint", "modal", 422, form=form)
    url, kinds = form.url.data or "", form.kinds.data or []
    try:
        with unit_of_work():
            number, secret = webhooks.add(place.vendor_id, url, kinds, actor=signed_in.actor(), now=now)
            _note(place, "webhook_endpoint.added", {"endpoint": number, "url": url, "kinds": sorted(kinds)})
    except (Invalid, Conflict) as error:
        form.refuse(error)
        return _show(place, "new_endpoint", "modal", error.status, form=form)
    shown = _show(place, "secret", "modal", kind="endpoint", secret=secret, named=url)
    return responder.waking(shown, ENDPOINTS_CHANGED)


def endpoint(place: Place, endpoint_id: int) -> Response:
    """One endpoint: what it is told, how it fares, and what can be done with it."""
    return _endpoint(place, endpoint_id)


def rotate(place: Place, endpoint_id: int) -> Response:
    """A new signing secret, shown this once."""
    with unit_of_work():
        secret = webhooks.rotate(place.vendor_id, endpoint_id)
        _note(place, "webhook_endpoint.secret_changed", {"endpoint": endpoint_id})
    held = webhook_queries.endpoint(place.vendor_id, endpoint_id)
    shown = _show(place, "secret", "modal", kind="endpoint", secret=secret, named=held.url, overlap=_hours())
    return responder.waking(shown, ENDPOINTS_CHANGED)


def end_previous(place: Place, endpoint_id: int) -> Response:
    """The secret before fits no longer, at once."""
    with unit_of_work():
        if webhooks.end_previous(place.vendor_id, endpoint_id):
            _note(place, "webhook_endpoint.old_secret_ended", {"endpoint": endpoint_id})
    return responder.done(place.url("index"), _("The old secret fits nothing that is sent from now on."),
                          ENDPOINTS_CHANGED)  # fmt: skip


def pause(place: Place, endpoint_id: int) -> Response:
    """Send nothing there for now."""
    with unit_of_work():
        if webhooks.pause(place.vendor_id, endpoint_id):
            _note(place, "webhook_endpoint.paused", {"endpoint": endpoint_id})
    return responder.done(place.url("index"), _("Nothing is sent there until you resume it."), ENDPOINTS_CHANGED)


def resume(place: Place, endpoint_id: int) -> Response:
    """Send again."""
    with unit_of_work():
        if webhooks.resume(place.vendor_id, endpoint_id):
            _note(place, "webhook_endpoint.resumed", {"endpoint": endpoint_id})
    text = _("It is told again from now on. What waited is sent first.")
    return responder.done(place.url("index"), text, ENDPOINTS_CHANGED, DELIVERIES_CHANGED)


def remove(place: Place, endpoint_id: int) -> Response:
    """Forget an endpoint."""
    now = clock.business()
    with unit_of_work():
        url = webhooks.remove(place.vendor_id, endpoint_id, now=now)
        _note(place, "webhook_endpoint.removed", {"endpoint": endpoint_id, "url": url})
    return responder.done(place.url("index"), _("The endpoint is removed."), ENDPOINTS_CHANGED)


def test(place: Place, endpoint_id: int) -> Response:
    """Send an event that means nothing."""
    with unit_of_work():
        webhooks.send_test(place.vendor_id, endpoint_id, now=clock.business())
    text = _("A test event is on its way. What became of it stands below in a moment.")
    return responder.done(place.url("index"), text, DELIVERIES_CHANGED)


def delivery(place: Place, delivery_id: int) -> Response:
    """One delivery with what was sent."""
    found = webhook_queries.delivery(place.vendor_id, delivery_id)
    payload = json.dumps(found.payload, indent=2, ensure_ascii=False, sort_keys=True)
    return _show(place, "delivery", "modal", found=found, payload=payload)


def again(place: Place, delivery_id: int) -> Response:
    """Send an event once more."""
    with unit_of_work():
        row = webhooks.send_again(place.vendor_id, delivery_id)
        _note(place, "webhook_delivery.sent_again", {"delivery": delivery_id, "event": row.event_id})
    return responder.done(place.url("index"), _("It is sent again, under the same id."), DELIVERIES_CHANGED)


#: name → (methods, address under the prefix, view)
VIEWS: dict[str, tuple[list[str], str, Callable[..., Response]]] = {
    "index": (["GET"], "", index),
    "keys": (["GET"], "/keys", keys),
    "new_key": (["GET"], "/new", new_key),
    "make_key": (["POST"], "/new", make_key),
    "ask_revoke": (["GET"], "/<int:key_id>/revoke", ask_revoke),
    "revoke": (["POST"], "/<int:key_id>/revoke", revoke),
    "endpoints": (["GET"], "/webhooks", endpoints),
    "new_endpoint": (["GET"], "/webhooks/new", new_endpoint),
    "add_endpoint": (["POST"], "/webhooks/new", add_endpoint),
    "endpoint": (["GET"], "/webhooks/<int:endpoint_id>", endpoint),
    "rotate": (["POST"], "/webhooks/<int:endpoint_id>/rotate", rotate),
    "end_previous": (["POST"], "/webhooks/<int:endpoint_id>/end-old-secret", end_previous),
    "pause": (["POST"], "/webhooks/<int:endpoint_id>/pause", pause),
    "resume": (["POST"], "/webhooks/<int:endpoint_id>/resume", resume),
    "remove": (["POST"], "/webhooks/<int:endpoint_id>/remove", remove),
    "test": (["POST"], "/webhooks/<int:endpoint_id>/test", test),
    "deliveries": (["GET"], "/deliveries", deliveries),
    "delivery": (["GET"], "/deliveries/<int:delivery_id>", delivery),
    "again": (["POST"], "/deliveries/<int:delivery_id>/again", again),
}


def delivery_state(row: Any) -> tuple[str, str]:
    """What became of a delivery, in a word with its badge's tone."""
    if row.state == "delivered":
        return _("Delivered"), "good"
    if row.state == "failed":
        return _("No longer tried"), "bad"
    return (_("Tried, waits"), "warn") if row.attempts else (_("On its way"), "info")


def endpoint_state(state: str) -> tuple[str, str]:
    """How an endpoint fares."""
    return {
        "active": (_("Active"), "good"),
        "paused": (_("Paused"), "neutral"),
        "failing": (_("Takes nothing"), "bad"),
    }[state]


def kind_words(kind: str) -> str:
    """An event as people read it."""
    return _("A test") if kind == TEST else _(KINDS[kind])


def _endpoint(place: Place, endpoint_id: int) -> Response:
    held = webhook_queries.endpoint(place.vendor_id, endpoint_id)
    return _show(place, "endpoint", "modal", held=held, overlap=_hours())


def _hours() -> int:
    """How long a secret that was replaced still fits."""
    return int(OVERLAP.total_seconds()) // 3600


def _region(place: Place, block: str, **rows: Any) -> Response:
    """One region of the page, or, without htmx, the page."""
    if not responder.is_partial() and block != "deliveries":
        return responder.go(place.url("index"))
    return _show(place, "page", block, **rows)


def _show(place: Place, template: str, block: str | None, status: int = 200, **context: Any) -> Response:
    if template == "page" and not (block and responder.is_partial()):
        context = {**_everything(place), **context}
    response = responder.respond(
        f"{FOLDER}{template}.html", block, status=status, place=place, layout=place.layout, at=clock.wall(),
        words=WORDS, tries=TRIES, private_ok=bool(outgoing.allowed()), **context,
    )  # fmt: skip
    response.headers["Cache-Control"] = "no-store"
    return response


def _everything(place: Place) -> dict[str, Any]:
    return {
        "keys": api_keys.of(place.vendor_id),
        "endpoints": webhook_queries.endpoints(place.vendor_id),
        "sent": webhook_queries.deliveries(place.vendor_id, request.args.get("page")),
        "missing": place.missing(),
    }


def _note(place: Place, action: str, data: dict[str, Any]) -> None:
    """Write down who did it: the notifications room stands beside the audit log and cannot."""
    audit.record(signed_in.actor(), action, vendor_id=place.vendor_id, data=data, now=clock.business())


#: What templates read: words for states, scopes and kinds.
WORDS = {
    "delivery": delivery_state,
    "endpoint": endpoint_state,
    "kind": kind_words,
    "reach": REACH_NAMES,
}
