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
    fixed = {
        "Content-Security-Policy": policy(config),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    }
    if config.secure:
        fixed["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    static, pages = _lowered(fixed), _lowered(fixed | {"Cache-Control": "no-store"})

    @app.after_request
    def _set(response: Response) -> Response:
        headers = response.headers
        present = {name.lower() for name, _ in headers}
        wanted = static if request.endpoint == "static" else pages
        headers.extend([header for name, header in wanted if name not in present])
        return response


def _lowered(headers: dict[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(name.lower(), (name, value)) for name, value in headers.items()]
