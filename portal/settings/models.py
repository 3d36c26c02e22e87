"""What the operator changed from the defaults."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import JsonB, Model


class Setting(Model):
    """One setting; a key without a row has its default."""

    __tablename__ = "settings"
    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[Any] = mapped_column(JsonB)
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(120))
