"""Makes every component macro a template global, so that a fragment rendered alone finds it too."""

from pathlib import Path

from flask import Flask
from jinja2.runtime import Macro


def init_app(app: Flask) -> None:
    """Register the macros of templates/shared/components under their own names; two of one name are a fault."""
    folder = Path(str(app.template_folder)) / "shared" / "components"
    for path in sorted(folder.glob("*.html")):
        module = app.jinja_env.get_template(f"shared/components/{path.name}").module
        for name, macro in vars(module).items():
            if not isinstance(macro, Macro) or name.startswith("_"):
                continue
            if name in app.jinja_env.globals:
                raise RuntimeError(f"two macros named {name}")
            app.jinja_env.globals[name] = macro
