"""Lists: newest first, `limit`, the two cursors, `created` ranges; read lazily so that long lists cost one page."""

from collections.abc import Callable
from typing import Any

from portal.sandbox.errors import invalid, missing
from portal.sandbox.render import list_of, present
from portal.sandbox.tx import Doc, Params, Tx

COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(
    tx: Tx,
    kind: str,
    params: Params,
    url: str,
    *,
    customer: str | None = None,
    parent: str | None = None,
    matches: Callable[[Doc], bool] = lambda doc: True,
) -> Doc:
    """One page of the documents of a kind that match; refuses a limit outside 1..100 and an unknown cursor."""
    limit = limit_of(params)
    extra, args, backwards = _conditions(tx, params)
    found: list[Doc] = []
    for doc in tx.scan(kind, customer=customer, parent=parent, extra=extra, args=args):
        if matches(doc):
            found.append(doc)
        if len(found) > limit:
            break
    shown = found[:limit]
    if backwards:
        shown.reverse()
    return list_of([present(tx, doc) for doc in shown], url, len(found) > limit)


def of_list(tx: Tx, docs: list[Doc], params: Params, url: str) -> Doc:
    """One page of documents that live inside another one, in their own order."""
    limit = limit_of(params)
    if "ending_before" in params:
        raise invalid("ending_before is not offered for this list", param="ending_before")
    ids = [doc["id"] for doc in docs]
    start = 0
    if cursor := params.get("starting_after"):
        if cursor not in ids:
            raise missing("object", cursor, param="starting_after", status=400)
        start = ids.index(cursor) + 1
    return list_of([present(tx, doc) for doc in docs[start : start + limit]], url, len(docs) > start + limit)


def limit_of(params: Params) -> int:
    """The page size; 10 unless asked."""
    limit: int = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid(
            "Invalid integer: limit must be between 1 and 100", param="limit", code="parameter_invalid_integer"
        )
    return limit


def _conditions(tx: Tx, params: Params) -> tuple[str, tuple[Any, ...], bool]:
    extra, args = "", []
    created = params.get("created")
    bounds = created if isinstance(created, dict) else {"gte": created, "lte": created} if created is not None else {}
    for name, value in bounds.items():
        extra += f" AND created {COMPARISONS[name]} ?"
        args.append(value)
    if "starting_after" in params and "ending_before" in params:
        raise invalid("You cannot use both starting_after and ending_before.", param="ending_before")
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            extra += f" AND seq {sign} ?"
            args.append(_position(tx, params[name], name))
    backwards = "ending_before" in params
    return f"{extra} ORDER BY seq {'ASC' if backwards else 'DESC'}", tuple(args), backwards


def _position(tx: Tx, ident: str, param: str) -> int:
    row = tx.conn.execute("SELECT seq FROM docs WHERE id = ?", (ident,)).fetchone()
    if not row:
        raise missing("object", ident, param=param, status=400)
    return int(row[0])
