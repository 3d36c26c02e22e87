"""Structured logs. One request id follows a request into the jobs that it caused."""

import logging
import random
from contextvars import ContextVar
from typing import Any

from portal.kit.lean import without

with without("rich"):  # colours for tracebacks on a terminal, which are not used
    import structlog

request_id: ContextVar[str] = ContextVar("request_id", default="")

#: Keys whose values never reach a log line, whatever wrote them.
SECRET_KEYS = frozenset(
    {"password", "secret", "token", "authorization", "cookie", "api_key", "signature", "client_secret", "csrf_token"}
)


def new_request_id() -> str:
    """A fresh id, 16 hexadecimal digits: to find lines that belong together, no secret."""
    return f"{random.getrandbits(64):016x}"


def follow(given: str) -> str:
    """The id of the request that begins: the one that came with it, where that is one."""
    known = given if given.isalnum() and len(given) <= 32 else new_request_id()
    request_id.set(known)
    return known


def _redact(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in event.keys() & SECRET_KEYS:
        event[key] = "…"
    return event


def _with_request_id(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if current := request_id.get():
        event.setdefault("request_id", current)
    return event


def configure(log_format: str, level: str = "INFO") -> None:
    """Route structlog and the standard library through one renderer: ``json`` or ``console``."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_request_id,
        _redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("stripe", "rq.worker", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It complains of each broken byte of a file that somebody handed in: whoever wants to could fill the disk with it.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger by module name; pass facts as keywords, never in the message."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
