"""docs/security.md is true as far as a program can tell: chapters, modules and tests that it names exist."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
#: Chapters of ASVS 5.0; two of them are named as not applying.
CHAPTERS = {f"V{number}" for number in range(1, 18)}


def rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in DOCUMENT.splitlines() if line.startswith("| V")
    ]


def test_every_chapter_is_a_row_or_does_not_apply() -> None:
    told = [row[0].split()[0] for row in rows()]
    assert len(told) == len(set(told))
    assert set(told) | set(re.findall(r"V\d+(?= \()", DOCUMENT.rpartition("\n\n")[2])) == CHAPTERS


def test_every_row_names_a_place_and_a_test() -> None:
    for chapter, does, where, shown, _open in rows():
        assert does and "`" in where and "::" in shown, chapter


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", DOCUMENT))))
def test_a_test_that_is_named_exists(named: str) -> None:
    path, _, function = named.partition("::")
    functions = [node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert function in functions


@pytest.mark.parametrize(
    "named", sorted(set(re.findall(r"`((?:portal|templates|config|pyproject|requ)[^`]*)`", DOCUMENT)))
)
def test_a_module_that_is_named_exists(named: str) -> None:
    assert (ROOT / named).exists()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", DOCUMENT))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()
