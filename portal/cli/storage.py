"""``flask storage``: do the files that are stored agree with what was counted for each vendor?"""

import click
from flask import Flask
from flask.cli import AppGroup

from portal.entitlements import file_books
from portal.entitlements.file_books import Book
from portal.kit import clock
from portal.kit.errors import Unavailable

group = AppGroup("storage", help="Prove that every stored byte is counted once.")


def register(app: Flask) -> None:
    """Add ``flask storage``."""
    app.cli.add_command(group)


@group.command("verify")
@click.option("--fix", is_flag=True, help="Count what is stored uncounted, give back what is counted and gone.")
def verify(fix: bool) -> None:
    """Compare files and counted bytes of all vendors; exit 1 when any disagree (and were not put right)."""
    try:
        wrong = [book for book in file_books.books() if not book.agrees]
        for book in wrong:
            _tell(book)
            if fix:
                file_books.put_right(book, now=clock.business())
        left = [book for book in file_books.books() if not book.agrees] if fix and wrong else wrong
    except Unavailable as error:
        raise click.ClickException("The store does not answer. Nothing was compared.") from error
    if left:
        if fix:
            click.echo(f"{len(left)} still disagree: files of the last hour are left alone. Try again later.")
        raise click.exceptions.Exit(1)
    click.echo("Put right." if wrong else "Every stored byte is counted, and nothing else is.")


def _tell(book: Book) -> None:
    click.echo(f"vendor {book.vendor_id}: {book.counted} bytes counted, {book.stored} bytes stored")
    for key, size in book.uncounted.items():
        click.echo(f"  not counted: {key} ({size} bytes)")
    for key in book.gone:
        click.echo(f"  counted, but gone: {key}")
