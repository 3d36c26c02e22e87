"""What a person types as a domain's name, and the name that DNS knows (IDNA 2008); pure.

Refused, each with its own words: what is no name, what nobody can own, the platform's own names, and names that are
made to look like others (docs/domains.md says the rules). The lists of public suffixes and of lookalikes come with
their packages: nothing is fetched.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import idna

from portal.kit.errors import Invalid
from portal.kit.text import N_

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

#: The field that a refusal belongs to.
FIELD = "domain"
NAME_MAX, LABEL_MAX, TYPED_MAX = 253, 63, 2000

#: Ends that never lead to the internet (RFC 2606, 6761, 6762, 7686, 8375, 9476).
_NOWHERE = frozenset({"alt", "arpa", "example", "internal", "invalid", "lan", "local", "localhost", "onion", "test"})
#: Of those, what a developer may use to try things.
_FOR_TRYING = frozenset({"test", "example"})
#: Kept for documentation (RFC 2606), so that nobody can own them.
_DOCUMENTATION = frozenset({"example.com", "example.net", "example.org"})

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_DOTS = re.compile("[。．｡]")  # what people type for a dot on a Chinese or Japanese keyboard
#: Scripts that are written together in one word (UTS 39, "highly restrictive").
_TOGETHER = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
#: Of ASCII, what is read as something else at a glance.
_GLANCE = (("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"), ("-", ""))


@dataclass(frozen=True, slots=True)
class DomainName:
    """``ascii`` as DNS writes it (lower case, no last dot), ``shown`` as people do."""

    ascii: str
    shown: str

    @property
    def registrable(self) -> str:
        """The part that is registered: myshop.co.uk of www.myshop.co.uk."""
        return _registrable(self.ascii)

    @property
    def registrable_shown(self) -> str:
        """The same, as people write it."""
        return idna.decode(self.registrable)

    @property
    def suffix(self) -> str:
        """What it is registered under: co.uk."""
        return self.registrable.partition(".")[2]

    @property
    def is_apex(self) -> bool:
        """Is it the registered name itself? Such a name cannot be a CNAME (RFC 1912)."""
        return self.ascii == self.registrable

    @property
    def host(self) -> str:
        """What stands before the registered part; "@" for the registered name itself."""
        return "@" if self.is_apex else self.ascii.removesuffix(f".{self.registrable}")


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose platform this is: its own names (``own``), and whether names that lead nowhere may be tried."""

    own: tuple[str, ...] = ()
    trying: bool = False


_rules = Rules()


def rules_for(platform: str, base_url: str, *, trying: bool) -> Rules:
    """The rules of an installation: what vendors' shops are under, and where the portal itself is found."""
    hosts = {platform, urlsplit(base_url).hostname or ""}
    return Rules(tuple(sorted(host for host in hosts if "." in host and not _is_ip(host))), trying)


def configure(rules: Rules) -> None:
    """Set the rules of this process."""
    global _rules
    _rules = rules


def parse(text: str, rules: Rules | None = None) -> DomainName:
    """The name that somebody means; parsing a parsed name again gives the same.

    Upper case, white space around, one last dot, a scheme and a path pasted along are taken away. Everything else that
    is no name of one's own raises Invalid: its code says which rule (``domain_…``), and the words are at the field
    ``domain``.
    """
    rules = rules or _rules
    typed = _host_of(text)
    ascii_name = _ascii(typed)
    labels = ascii_name.split(".")
    _check_form(labels, ascii_name)
    _check_end(ascii_name, rules)
    name = DomainName(ascii_name, _shown(ascii_name))
    _check_own(name, rules)
    _check_looks(name, rules)
    return name


def known(ascii_name: str) -> DomainName:
    """A name that was parsed before, from its ASCII form alone."""
    return DomainName(ascii_name, _shown(ascii_name))


def _refuse(code: str, words: str) -> Invalid:
    return Invalid(code=f"domain_{code}", fields={FIELD: words})


def _host_of(text: str) -> str:
    """What was typed, without what a browser's address bar adds."""
    typed = _DOTS.sub(".", text.strip())
    if not typed:
        raise _refuse("empty", N_("Enter a domain name, such as myshop.com."))
    if len(typed) > TYPED_MAX:
        raise _refuse("too_long", N_("A domain name has at most 253 characters."))
    if any(c.isspace() or ord(c) < 32 or ord(c) == 127 for c in typed):
        raise _refuse("space", N_("A domain name has no spaces. Enter it like myshop.com."))
    typed = _authority(typed if _SCHEME.match(typed) else "//" + typed.removeprefix("//"))
    if not typed:
        raise _refuse("empty", N_("Enter a domain name, such as myshop.com."))
    if "@" in typed:
        raise _refuse("address", N_("This looks like an email address. Enter only what stands after the @."))
    if _is_ip(typed):
        raise _refuse("ip", N_("This is an IP address. Enter a domain name, such as myshop.com."))
    if ":" in typed:
        raise _refuse("port", N_("Enter the domain name without a port, such as myshop.com."))
    return typed.removesuffix(".")


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:  # an open bracket, as in an IPv6 address
        return url.removeprefix("//")


def _is_ip(text: str) -> bool:
    """An address, also with a port, and also as browsers still read it (0x7f.1, 2130706433)."""
    bare = text.strip("[]")
    for candidate in (bare, bare.rpartition(":")[0].strip("[]")):
        try:
            ipaddress.ip_address(candidate)
        except ValueError:
            continue
        return True
    last = bare.split(":")[0].rstrip(".").rpartition(".")[2]
    return bool(re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last, re.IGNORECASE))


def _ascii(typed: str) -> str:
    """By IDNA 2008, after the mapping that browsers make (UTS 46): upper case, full-width letters."""
    if len(typed) > NAME_MAX:  # before the mapping, whose cost grows with the length
        raise _refuse("too_long", N_("A domain name has at most 253 characters."))
    if "_" in typed:
        raise _refuse("underscore", N_("A domain name has no underscores. Letters, digits and hyphens are possible."))
    if any(not label for label in typed.split(".")):
        raise _refuse("dots", N_("There is a dot too many. Enter it like myshop.com."))
    try:
        encoded = idna.encode(typed, uts46=True, std3_rules=True).decode().lower()
        idna.decode(encoded)
    except (idna.IDNAError, UnicodeError) as error:
        raise _unfit(typed, error) from error
    return encoded


def _unfit(typed: str, error: Exception) -> Invalid:
    labels = typed.split(".")
    if "domain too long" in str(error).lower():
        return _refuse("too_long", N_("A domain name has at most 253 characters."))
    if "label too long" in str(error).lower() or any(len(label) > LABEL_MAX for label in labels):
        return _refuse("label", N_("Between two dots there are at most 63 characters."))
    if any(label.startswith("-") or label.endswith("-") for label in labels):
        return _refuse("hyphen", N_("No part of a domain name begins or ends with a hyphen."))
    return _refuse("characters", N_("This has characters that a domain name cannot have."))


def _shown(ascii_name: str) -> str:
    return idna.decode(ascii_name)


def _check_form(labels: list[str], ascii_name: str) -> None:
    if len(ascii_name) > NAME_MAX:
        raise _refuse("too_long", N_("A domain name has at most 253 characters."))
    if any(len(label) > LABEL_MAX for label in labels):
        raise _refuse("label", N_("Between two dots there are at most 63 characters."))
    if len(labels) < 2:
        raise _refuse("single", N_("The end is missing, such as .com. Enter it like myshop.com."))
    if re.fullmatch(r"[0-9]+", labels[-1]):
        raise _refuse("ip", N_("This is an IP address. Enter a domain name, such as myshop.com."))


def _check_end(ascii_name: str, rules: Rules) -> None:
    end = ascii_name.rpartition(".")[2]
    if end in _NOWHERE:
        if not (rules.trying and end in _FOR_TRYING):
            raise _refuse("reserved", N_("Names with this ending lead nowhere on the internet."))
        return
    if not rules.trying and _registrable(ascii_name) in _DOCUMENTATION:
        raise _refuse("reserved", N_("This name is kept for examples, so nobody can own it."))
    suffix = _suffixes().publicsuffix(ascii_name)
    if suffix is None:
        raise _refuse("end", N_("There is no such end. Is it spelled right?"))
    if suffix == ascii_name:
        raise _refuse("suffix", N_("Names are registered under this one, so it cannot be yours. Enter the whole name."))


@cache
def _suffixes() -> "PublicSuffixList":
    """Read when the first name is, since it takes its time."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)


def _registrable(ascii_name: str) -> str:
    if ascii_name.rpartition(".")[2] in _FOR_TRYING:
        return ".".join(ascii_name.split(".")[-2:])
    return _suffixes().privatesuffix(ascii_name) or ascii_name


def _check_own(name: DomainName, rules: Rules) -> None:
    for own in rules.own:
        if name.ascii == own or name.ascii.endswith(f".{own}"):
            raise _refuse("platform", N_("This name is the platform's own. Enter a name that is yours."))


def _check_looks(name: DomainName, rules: Rules) -> None:
    labels = name.shown.split(".")
    for label in labels:
        if not label.isascii() and not _one_hand(label):
            raise _refuse("mixed", N_("Letters of several scripts stand in one word, so it can be taken for another."))
        if not label.isascii() and labels[-1].isascii() and _all_look_latin(label):
            raise _refuse("lookalike", N_("These letters look like Latin ones, so the name can be taken for another."))
    ours = {_glance(_registrable(own).partition(".")[0]) for own in rules.own if "." in own}
    if ours & {_glance(name.registrable_shown.partition(".")[0])}:
        raise _refuse("confusable", N_("This looks too much like the platform's own name."))


def _scripts(label: str) -> set[str]:
    from confusable_homoglyphs import categories

    return {categories.alias(c) for c in label} - {"COMMON", "INHERITED"}


def _one_hand(label: str) -> bool:
    """Is the label written as people of one language write?"""
    scripts = _scripts(label)
    return len(scripts) <= 1 or any(scripts <= together for together in _TOGETHER)


def _latin_like(char: str) -> str | None:
    """The ASCII letter that ``char`` looks like, if any."""
    from confusable_homoglyphs import confusables

    for other in confusables.confusables_data.get(char, ()):
        if other["c"].isascii() and other["c"].isalnum():
            return str(other["c"]).lower()
    return None


def _all_look_latin(label: str) -> bool:
    letters = [c for c in label if c.isalpha()]
    return "LATIN" not in _scripts(label) and all(_latin_like(c) for c in letters)


def _glance(label: str) -> str:
    """How a label is read at a glance: two labels with the same are taken for each other."""
    plain = "".join(c for c in unicodedata.normalize("NFD", label) if not unicodedata.combining(c))
    read = "".join(c if c.isascii() else _latin_like(c) or c for c in plain)
    for seen, taken in _GLANCE:
        read = read.replace(seen, taken)
    return read
