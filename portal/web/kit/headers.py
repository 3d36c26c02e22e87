"""Security headers on every answer; the policy knows no exceptions."""

from urllib.parse import urlsplit

from flask import Flask, Response, request

from config import Config


def policy(config: Config) -> str:
    """The Content-Security-Policy. Forms may post to ourselves and be redirected to Stripe's Checkout."""
    origins = ["'self'"]
    for address in (config.stripe_checkout_origin if config.stripe_configured else "", config.sandbox_url):
        if address:
            parts = urlsplit(address)
            origins.append(f"{parts.scheme}://{parts.netloc}")
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "form-action " + " ".join(origins),
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ]
    )


def init_app(app: Flask, config: Config) -> None:
    """Set the headers after every request; pages are not stored, static files set their own caching."""
    csp = policy(config)

    @app.after_request
    def _set(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", csp)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
        if config.secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        if request.endpoint != "static":
            headers.setdefault("Cache-Control", "no-store")
        return response
