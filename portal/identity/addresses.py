"""Email addresses as people type them."""

from email_validator import EmailNotValidError, validate_email

from portal.kit.errors import Invalid
from portal.kit.text import N_

NOT_AN_ADDRESS = N_("Enter an email address such as name@example.com.")


def checked(text: str) -> str:
    """The address in its normal form. Invalid (field ``email``) when no mail could reach it.

    No network is asked. Letters outside ASCII before the @ are refused: most mail servers cannot deliver to them.
    """
    if len(text) > 254:
        raise Invalid(fields={"email": NOT_AN_ADDRESS})
    try:
        return validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError as error:
        raise Invalid(fields={"email": NOT_AN_ADDRESS}) from error
