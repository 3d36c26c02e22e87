"""One transaction's view of the documents: each is loaded once, changed in place, and written at the end."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from portal.sandbox.config import SandboxConfig
from portal.sandbox.errors import missing
from portal.sandbox.ids import new_id

Doc = dict[str, Any]
Params = dict[str, Any]

# Where an object that hangs on another one names it, so that lists need no scan.
PARENTS = {
    "price": ("product",),
    "invoice": ("parent", "subscription_details", "subscription"),
    "invoice_payment": ("invoice",),
    "charge": ("payment_intent",),
    "refund": ("payment_intent",),
    "dispute": ("payment_intent",),
    "credit_note": ("invoice",),
    "subscription_schedule": ("subscription",),
    "checkout.session": ("subscription",),
}


def metadata_of(given: dict[str, str] | str | None, before: dict[str, str] | None = None) -> dict[str, str]:
    """Metadata as Stripe merges it: an empty text removes a key, an empty parameter removes all."""
    if given == "":
        return {}
    merged = {**(before or {}), **(given if isinstance(given, dict) else {})}
    return {key: text for key, text in merged.items() if text != ""}


def _parent(doc: Doc) -> str | None:
    found: Any = doc
    for step in PARENTS.get(doc["object"], ()):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


class Tx:
    """Documents by id, the queue of what is due, and the time at which all of this happens (business seconds)."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        now: int,
        config: SandboxConfig,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.conn = conn
        self.now = now
        self.config = config
        self.request_id = request_id
        self.idempotency_key = idempotency_key
        self.spent_faults: list[int] = []
        self._docs: dict[str, Doc] = {}
        self._stored: dict[str, str] = {}
        self._told: dict[str, str] = {}

    # --- documents

    def find(self, ident: str) -> Doc | None:
        """The document with this id, or None; the same object each time within the transaction."""
        if ident in self._docs:
            return self._docs[ident]
        row = self.conn.execute("SELECT body FROM docs WHERE id = ?", (ident,)).fetchone()
        return self._remember(row[0]) if row else None

    def get(self, kind: str, ident: str, *, param: str = "id", status: int = 404) -> Doc:
        """The document of this kind; Stripe's resource_missing when there is none."""
        doc = self.find(ident)
        if doc is None or doc["object"] != kind:
            raise missing(kind.replace(".", " ").replace("_", " "), ident, param=param, status=status)
        return doc

    def insert(self, kind: str, fields: Doc, **private: Any) -> Doc:
        """A new document with id, object, created (now) and livemode; `private` is never shown to callers."""
        ident = fields.get("id") or new_id(kind)
        doc = {"created": self.now, "livemode": False, **fields, "id": ident, "object": kind, "_private": private}
        text = json.dumps(doc)
        self.conn.execute(
            "INSERT INTO docs (id, object, customer, parent, created, body) VALUES (?, ?, ?, ?, ?, ?)",
            (ident, kind, doc.get("customer"), _parent(doc), doc["created"], text),
        )
        self._docs[ident], self._stored[ident], self._told[ident] = doc, text, text
        return doc

    def delete(self, doc: Doc) -> None:
        """Forget a document."""
        self.conn.execute("DELETE FROM docs WHERE id = ?", (doc["id"],))
        for known in (self._docs, self._stored, self._told):
            known.pop(doc["id"], None)

    def scan(
        self,
        kind: str,
        *,
        customer: str | None = None,
        parent: str | None = None,
        extra: str = "",
        args: tuple[Any, ...] = (),
    ) -> Iterator[Doc]:
        """Documents of a kind, newest first unless `extra` (SQL after the conditions) says otherwise."""
        self.flush()
        where, values = "object = ?", [kind]
        for column, value in (("customer", customer), ("parent", parent)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        # Every part of the text is a constant of this package; values travel as parameters.
        query = f"SELECT id, body FROM docs WHERE {where} {extra or 'ORDER BY seq DESC'}"  # noqa: S608
        for ident, body in self.conn.execute(query, (*values, *args)):
            yield self._docs.get(ident) or self._remember(body)

    def _remember(self, text: str) -> Doc:
        doc: Doc = json.loads(text)
        ident = doc["id"]
        self._docs[ident], self._stored[ident], self._told[ident] = doc, text, text
        return doc

    def told(self, doc: Doc) -> Doc:
        """The document as it was when it was loaded or last appeared in an event."""
        found: Doc = json.loads(self._told[doc["id"]])
        return found

    def mark_told(self, doc: Doc) -> None:
        """Remember the present state as told."""
        self._told[doc["id"]] = json.dumps(doc)

    def flush(self) -> None:
        """Write what was changed."""
        for ident, doc in self._docs.items():
            text = json.dumps(doc)
            if text != self._stored[ident]:
                self.conn.execute(
                    "UPDATE docs SET body = ?, customer = ?, parent = ? WHERE id = ?",
                    (text, doc.get("customer"), _parent(doc), ident),
                )
                self._stored[ident] = text

    # --- the queue

    def schedule(self, at: int, kind: str, target: str) -> None:
        """Do `kind` to `target` at this business time; an earlier appointment of the same kind is replaced."""
        self.unschedule(kind, target)
        self.conn.execute("INSERT INTO due (at, kind, target) VALUES (?, ?, ?)", (at, kind, target))

    def unschedule(self, kind: str, target: str) -> None:
        """Cancel an appointment, if there is one."""
        self.conn.execute("DELETE FROM due WHERE kind = ? AND target = ?", (kind, target))
