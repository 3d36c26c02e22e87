"""The doctor's check of where private files lie: is what is handed in kept, found again, and nobody else's?"""

from collections.abc import Iterator

from flask import current_app

from config import Config
from portal.cli.doctor_findings import FAIL, OK, WARN, Check, Finding
from portal.gateways import storage
from portal.kit.errors import Unavailable
from portal.kit.unit_of_work import end_reading

_REASONS = {
    "storage_refused": (
        "refuses the key",
        "check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_REGION and what the key may",
    ),
    "storage_bucket": ("is not there", "make it, or check S3_BUCKET"),
    "storage": ("does not answer as it should", "check S3_ENDPOINT, and that this machine reaches it"),
}


def files() -> Iterator[Finding]:
    """Write a small file, read it, delete it; ask for it as a stranger meanwhile."""
    config: Config = current_app.extensions["portal_config"]
    place = f"bucket {config.s3_bucket}" if config.s3_bucket else f"folder {config.data_dir.resolve() / 'files'}"
    end_reading()
    try:
        is_open = storage.try_out()
    except Unavailable as error:
        says, do = _REASONS.get(error.code, _REASONS["storage"]) if config.s3_bucket else ("cannot be written to", "")
        yield Finding(FAIL, "files", f"{place} {says}", do or "let the portal's user write to DATA_DIR")
        return
    if is_open:
        yield Finding(
            FAIL, "files", f"{place} can be read by anybody", "switch off public access to the bucket at once"
        )
    elif config.s3_endpoint.startswith("http://") and config.in_production:
        yield Finding(WARN, "files", f"{place} is spoken to without TLS", "use an https address for S3_ENDPOINT")
    else:
        yield Finding(OK, "files", f"{place} keeps what is handed in, and for nobody else")


CHECKS: tuple[Check, ...] = (files,)
