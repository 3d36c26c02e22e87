"""The webhook, and a sign of life for whoever waits for the start."""

from django.http import HttpRequest, HttpResponse  # type: ignore[import-not-found]
from django.urls import include, path  # type: ignore[import-not-found]


def healthz(_: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok")


urlpatterns = [path("healthz", healthz), path("stripe/", include("djstripe.urls", namespace="djstripe"))]
