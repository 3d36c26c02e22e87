"""P8: a page and a fragment against the bare render of the same HTML."""

import re
from contextlib import ExitStack
from dataclasses import dataclass

import requests

from portal.cli.setup_ports import LOOPBACK
from tests.bench import load, portal_side, rounds
from tests.bench.figures import Figure, Goal, Line, Reading, ratios, spread
from tests.bench.ground import Ground
from tests.bench.processes import free_port, web
from tests.bench.rounds import Side, Sizes, Tell, VoidRound
from tests.bench.vendors import Cast
from tests.support.stories import PASSWORD, Somebody

CONNECTIONS = 4
#: How htmx asks for a part of a page.
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
#: What differs from one answer to the next: tokens against forged requests, and the time.
PASSING = re.compile(rb'(content|value)="[A-Za-z0-9_.-]{60,}"|data-now="[^"]*"')


@dataclass(frozen=True)
class Page:
    """One address on one server, asked for by somebody who is signed in."""

    name: str
    port: int
    root: int
    headers: dict[str, str]
    path: str
    ground: Ground
    count: int

    def ask(self, count: int) -> load.Outcome:
        """So many times. Raises VoidRound for an answer that is not 2xx."""
        ready = load.request("GET", self.path, self.port, self.headers)
        outcome = load.drive(self.port, [ready] * count, CONNECTIONS)
        if not outcome.clean:
            raise VoidRound(f"{self.name} answered {dict(outcome.statuses)}")
        return outcome

    def __call__(self, _: int) -> Reading:
        """One round."""
        meter = self.ground.cpu([self.root], "pages")
        meter.start()
        outcome = self.ask(self.count)
        return Reading(self.count, meter.spent(), outcome.seconds)

    @property
    def html(self) -> bytes:
        """What it answers, without what differs from one answer to the next."""
        return PASSING.sub(b"", self.ask(1).last_body)


def measure(ground: Ground, cast: Cast, sizes: Sizes, tell: Tell) -> Figure:
    """P8, on a database of its own. Raises RuntimeError when the floor does not render the same HTML."""
    ground.create("pages", ground.full("seed"))
    who = cast.vendors[0]
    with ExitStack() as stack:
        port, server = stack.enter_context(portal_side.serving(ground, "pages"))
        cookie = sign_in(f"http://{LOOPBACK}:{port}", who)
        paths = _paths(port, cookie, who)
        bare_port, bare = _bare(stack, ground, port, cookie, paths)
        sides: dict[str, Side] = {}
        for name, path in paths.items():
            headers = {"Cookie": cookie, **(PARTIAL if name == "fragment" else {})}
            full = Page(name, port, server.pid, headers, path, ground, sizes.pages)
            floor = Page(f"bare {name}", bare_port, bare, headers, path, ground, sizes.pages)
            if differing := [a for a, b in zip(full.html.split(b"\n"), floor.html.split(b"\n"), strict=True) if a != b]:
                raise RuntimeError(f"the floor renders another {name}: {differing[0]!r} …")
            sides |= {full.name: full, floor.name: floor}
        taken = rounds.take(sides, sizes.rounds, tell)
    return _figure(taken)


def sign_in(base: str, who: Somebody) -> str:
    """Through the door, as a browser does; gives the session's cookie."""
    with requests.Session() as browser:
        page = browser.get(f"{base}/sign-in", timeout=20).text
        found = re.search(r'<meta name="csrf-token" content="([^"]+)"', page)
        token = found[1] if found else ""
        form = {"csrf_token": token, "email": who.email, "password": PASSWORD}
        answer = browser.post(f"{base}/sign-in", data=form, timeout=20, allow_redirects=False)
        if answer.status_code != 303:
            raise RuntimeError(f"signing in answered {answer.status_code}")
        # The first page puts its secret against forged requests into the cookie; a browser has it from then on.
        browser.get(f"{base}/profile", timeout=20)
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def _paths(port: int, cookie: str, who: Somebody) -> dict[str, str]:
    """The billing page, and the address from which its meters fetch themselves anew."""
    page = f"/vendor/{who.code}/billing"
    html = requests.get(f"http://{LOOPBACK}:{port}{page}", headers={"Cookie": cookie}, timeout=20).text
    return {"page": page, "fragment": meters_address(html)}


def meters_address(html: str) -> str:
    """Where the meters of a billing page fetch themselves anew."""
    found = re.search(r'hx-get="([^"]*/billing/meters[^"]*)"', html)
    if found is None:
        raise RuntimeError("the billing page names no address for its meters")
    return found[1].replace("&amp;", "&")


def _bare(stack: ExitStack, ground: Ground, own: int, cookie: str, paths: dict[str, str]) -> tuple[int, int]:
    """The floor's port and granian's main process. It believes to be the product's address, so that links are equal."""
    port = free_port()
    told = portal_side.environment(ground, "pages", own, data=ground.folder / "bare")
    told |= {"BENCH_PAGE": paths["page"], "BENCH_FRAGMENT": paths["fragment"], "BENCH_COOKIE": cookie}
    server = stack.enter_context(web("tests.bench.bare_page:application", port, told, ground.folder / "bare.log"))
    return port, server.pid


def _figure(taken: dict[str, list[Reading]]) -> Figure:
    cpu = {name: rounds.cpu(readings) for name, readings in taken.items()}
    page, fragment = ratios(cpu["page"], cpu["bare page"]), ratios(cpu["fragment"], cpu["bare fragment"])
    lines = [Line(f"{name}: CPU a request", "µs", spread(values)) for name, values in cpu.items()]
    lines += [Line(f"{name}: requests", "1/s", spread(rounds.rate(readings))) for name, readings in taken.items()]
    lines += [Line("page ÷ bare page", "×", page, 2), Line("fragment ÷ bare fragment", "×", fragment, 2)]
    goals = [
        Goal("page against its bare render", page.median, "at most", 3.5),
        Goal("fragment against its bare render", fragment.median, "at most", 1.6),
    ]
    return Figure("P8", "Pages", HOW, lines, goals, [WHERE])


WHERE = """\
Of what a fragment takes beside its render about half goes by two statements (who is at the door, and what is used): \
in the database, and in waking up after them. The rest is spread over routing, guard, reckoning, address and headers, \
none of it a tenth of the whole. Giving the same bytes again, as programs are, would take less than the render and be \
of no use: the meters fetch themselves when something has changed."""

HOW = """\
The billing page of a vendor with a paid subscription, and its meters as htmx fetches them, both signed in, over 4 \
kept connections. The floor is the same server with a WSGI function that renders the context the product was seen to \
render, with the same template and the same functions in it, in a request context of the same person: no routing, no \
session, no guard, no reads, no headers. Page and floor must give the same HTML, and a statement of the floor's is an \
error."""
