"""Settings, from the environment alone. What an operator may change at run time lives in portal.settings instead."""

import hmac
import json
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from portal.kit import crypto

WEAK_KEYS = frozenset({"secret", "dev", "development", "changeme", "password", "test"})


class ConfigurationError(RuntimeError):
    """The environment does not fit; the message names every variable that is wrong and what it should be."""


class Config(BaseSettings):
    """Every variable the portal reads; docs/configure.md explains each."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", case_sensitive=False)

    app_env: Literal["development", "test", "production"] = "development"
    debug: bool = False
    secret_key: SecretStr = SecretStr("")
    encryption_keys: SecretStr = SecretStr("")
    data_dir: Path = Path("var")
    database_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    base_url: str = "http://127.0.0.1:8000"
    trusted_proxies: int = 0

    stripe_secret_key: SecretStr = SecretStr("")
    stripe_publishable_key: str = ""
    stripe_webhook_secret: SecretStr = SecretStr("")
    stripe_api_base: str = ""
    stripe_checkout_origin: str = "https://checkout.stripe.com"
    stripe_max_retries: int = 2

    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user_email: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    mail_from: str = ""

    s3_bucket: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")

    platform_domain: str = ""
    platform_addresses: str = ""
    dns_resolvers: str = ""

    namecheap_api_user: str = ""
    namecheap_api_key: SecretStr = SecretStr("")
    namecheap_user: str = ""
    namecheap_client_ip: str = ""
    namecheap_api_url: str = "https://api.namecheap.com/xml.response"
    namecheap_max_price: Decimal = Field(default=Decimal(20), gt=0)
    namecheap_contact: str = ""

    mailcow_url: str = ""
    mailcow_api_key: SecretStr = SecretStr("")
    mailcow_host: str = ""
    mailcow_quota_mb: int = Field(default=3072, ge=1)

    clock_offset_file: str = ""
    log_format: Literal["console", "json"] = "console"
    log_level: str = "INFO"
    prometheus_multiproc_dir: str = ""
    metrics_token: SecretStr = SecretStr("")
    ratelimit_enabled: bool = True
    api_requests_per_minute: int = Field(default=600, ge=10)
    outgoing_private_networks: str = ""
    argon2_memory_kib: int = Field(default=19456, ge=8)
    sandbox_url: str = ""
    demo: bool = False

    @field_validator("database_url")
    @classmethod
    def _driver(cls, url: str) -> str:
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    @cached_property
    def sqlalchemy_url(self) -> str:
        """DATABASE_URL, or a SQLite file in the data folder."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'portal.db').resolve()}"

    @cached_property
    def webhook_secrets(self) -> list[str]:
        """One or several signing secrets; while one is rolled both are valid."""
        return [s.strip() for s in self.stripe_webhook_secret.get_secret_value().split(",") if s.strip()]

    @cached_property
    def sealing_keys(self) -> list[bytes]:
        """The keys that secrets are kept under, newest first; production takes only those that were given.

        Elsewhere one is made from SECRET_KEY where none is given. Raises WrongKeyError for what is no key.
        """
        given = crypto.read_keys(self.encryption_keys.get_secret_value())
        secret = self.secret_key.get_secret_value().encode()
        return given or ([] if self.app_env == "production" else [hmac.digest(secret, b"portal.sealing", "sha256")])

    def _no_sealing_keys(self) -> bool:
        try:
            return not crypto.read_keys(self.encryption_keys.get_secret_value())
        except crypto.WrongKeyError:
            return True

    @property
    def secure(self) -> bool:
        """Is the public address https? Cookies are Secure and `__Host-` exactly then."""
        return self.base_url.startswith("https://")

    @property
    def in_production(self) -> bool:
        """Is this the real thing?"""
        return self.app_env == "production"

    @property
    def stripe_configured(self) -> bool:
        """Is there a key to speak to Stripe (or its sandbox) with?"""
        return bool(self.stripe_secret_key.get_secret_value())

    @property
    def mail_configured(self) -> bool:
        """Is there a mail server? Without one, mails are kept and can be read on a local page."""
        return bool(self.smtp_host)

    @property
    def platform_base(self) -> str:
        """Under what vendors' shops are found (myshop.<this>); outside production a name that leads to this machine."""
        named = self.platform_domain.strip().strip(".").lower()
        return named or ("" if self.app_env == "production" else "shops.localhost")

    @cached_property
    def resolvers(self) -> tuple[str, ...]:
        """The resolvers to ask, each ``address`` or ``address:port``; none: those of the machine."""
        return tuple(_listed(self.dns_resolvers))

    @cached_property
    def shop_addresses(self) -> tuple[str, ...]:
        """The IP addresses that a vendor's registered name points to."""
        return tuple(_listed(self.platform_addresses))

    @property
    def registrar_configured(self) -> bool:
        """Can domains be registered here?"""
        return bool(self.namecheap_api_user and self.namecheap_api_key.get_secret_value() and self.namecheap_client_ip)

    @property
    def mailboxes_configured(self) -> bool:
        """Can mailboxes be made here?"""
        return bool(self.mailcow_url and self.mailcow_api_key.get_secret_value())

    @cached_property
    def registrar_contact(self) -> dict[str, str]:
        """Who stands in the registry for every domain, by Namecheap's names; ValueError when it is no JSON object."""
        given = json.loads(self.namecheap_contact) if self.namecheap_contact else {}
        if not isinstance(given, dict):
            raise ValueError("NAMECHEAP_CONTACT is no JSON object")
        return {str(name): str(value) for name, value in given.items()}

    def problems(self) -> list[str]:
        """What production refuses, one sentence per variable."""
        secret = self.secret_key.get_secret_value()
        checks = {
            "SECRET_KEY must be at least 32 characters that nobody can guess": len(secret) < 32
            or secret.lower() in WEAK_KEYS
            or len(set(secret)) < 10,
            "ENCRYPTION_KEYS must be keys of 32 random bytes in Base64 (openssl rand -base64 32)": (
                self._no_sealing_keys()
            ),
            "DEBUG must be off": self.debug,
            "BASE_URL must be the public https address": not self.secure or not urlsplit(self.base_url).hostname,
            "DATABASE_URL must be set": not self.database_url,
            "STRIPE_API_BASE is for the sandbox and must be empty": bool(self.stripe_api_base),
            "CLOCK_OFFSET_FILE would let the clock be moved and must be empty": bool(self.clock_offset_file),
            "STRIPE_WEBHOOK_SECRET must be set where STRIPE_SECRET_KEY is": self.stripe_configured
            and not self.webhook_secrets,
            "SMTP_HOST must be set": not self.smtp_host,
            "MAIL_FROM must be set": not self.mail_from,
            "NAMECHEAP_API_URL must be an https address": not self.namecheap_api_url.startswith("https://"),
            "MAILCOW_URL must be an https address": bool(self.mailcow_url)
            and not self.mailcow_url.startswith("https://"),
            "DEMO must be off": self.demo,
            "RATELIMIT_ENABLED must be on": not self.ratelimit_enabled,
        }
        return [sentence for sentence, wrong in checks.items() if wrong]

    def require_sound(self) -> None:
        """Raise ConfigurationError in production when anything is weak or missing; elsewhere fill what may be filled.

        Development without SECRET_KEY is refused too: sessions must survive a restart and be shared by processes.
        """
        if self.app_env == "production" and (problems := self.problems()):
            raise ConfigurationError("Refusing to start:\n" + "\n".join(f"  - {p}" for p in problems))
        if self.encryption_keys.get_secret_value() and self._no_sealing_keys():
            raise ConfigurationError("Refusing to start:\n  - ENCRYPTION_KEYS holds something that is no key")
        if not self.secret_key.get_secret_value():
            raise ConfigurationError("Refusing to start:\n  - SECRET_KEY must be set (make run makes one for you)")

    def flask(self) -> dict[str, Any]:
        """The subset that Flask and its extensions read."""
        prefix = "__Host-" if self.secure else ""
        return {
            "SECRET_KEY": self.secret_key.get_secret_value(),
            "DEBUG": self.debug,
            "TESTING": self.app_env == "test",
            "SQLALCHEMY_DATABASE_URI": self.sqlalchemy_url,
            "SESSION_COOKIE_NAME": f"{prefix}portal",
            "SESSION_COOKIE_SECURE": self.secure,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SAMESITE": "Lax",
            "PREFERRED_URL_SCHEME": "https" if self.secure else "http",
            "WTF_CSRF_TIME_LIMIT": None,
            "WTF_CSRF_SSL_STRICT": self.secure,
            "MAX_CONTENT_LENGTH": 1024 * 1024,
            "MAX_FORM_MEMORY_SIZE": 256 * 1024,
            "MAX_FORM_PARTS": 200,
            "RATELIMIT_ENABLED": self.ratelimit_enabled,
            "RATELIMIT_STORAGE_URI": redis_for_limits(self.redis_url),
            "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,
            "RATELIMIT_HEADERS_ENABLED": True,
            "BABEL_DEFAULT_LOCALE": "en",
            "LANGUAGES": ("en", "de"),
        }


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def redis_for_limits(url: str) -> str:
    """Flask-Limiter spells a unix socket's address its own way."""
    return "redis+unix://" + url.removeprefix("unix://") if url.startswith("unix://") else url
