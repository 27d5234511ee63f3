"""Which function computes what of the paper, from the docstrings of fmvae.

The first paragraph of the docstring of a public function, method or class says
what it computes: '(eq. 13-14)', 'line 4b', 'App. C.1', 'Figures 9 and 10'.
What stands further down are remarks. The modules are parsed, not imported.
"""

import ast
import pathlib
import re
from collections.abc import Iterator

from experiments.report.reading import ROOT, markdown

_PACKAGE = ROOT / "fmvae"
_KINDS = {  # what they are called, and how their numbers look
  "eq.": (r"eqs?\.|equations?|lines?", r"\d{1,2}[a-e]?"),
  "App.": (r"app\.", r"[A-F](?:\.\d)?"),
  "Sec.": (r"secs?\.|sections?", r"\d(?:\.\d)*"),
  "Figure": (r"figures?", r"\d{1,2}"),
  "Table": (r"tables?", r"\d"),
}
_JOINED = r"(?:-| to |, and | and | or |, )"


def named() -> dict[str, list[str]]:
  """Functions by reference, as in 'eq. 4b', in the paper's order."""
  found: dict[str, list[str]] = {}
  for function, docstring in _docstrings():
    for reference in references(docstring):
      functions = found.setdefault(reference, [])
      if function not in functions:
        functions.append(function)
  return {
    reference: found[reference] for reference in sorted(found, key=_order)
  }


def table() -> str:
  """A reference a row."""
  return markdown(
    ("paper", "in `fmvae`"),
    (
      (reference, ", ".join(f"`{name}`" for name in functions))
      for reference, functions in named().items()
    ),
  )


def references(docstring: str) -> list[str]:
  """What a docstring's first paragraph names of the paper, ranges expanded."""
  text = " ".join(docstring.split("\n\n")[0].split())
  out = []
  for kind, (name, number) in _KINDS.items():
    numbers = rf"{number}\b(?:{_JOINED}{number}\b)*"
    for match in re.finditer(rf"\b(?i:{name}) ({numbers})", text):
      for part in re.split(r", and | and | or |, ", match[1]):
        first, _, last = part.replace(" to ", "-").partition("-")
        out += [f"{kind} {x}" for x in _range(first, last or first)]
  return list(dict.fromkeys(out))


def _range(first: str, last: str) -> list[str]:
  """From 'first' to 'last', which differ in their last number or letter."""
  (head, begin), (same, end) = map(_cut, (first, last))
  if head != same:
    raise ValueError(f"{first}-{last} is no range of numbers or letters")
  if begin.isdigit():
    return [f"{head}{i}" for i in range(int(begin), int(end) + 1)]
  return [f"{head}{chr(i)}" for i in range(ord(begin), ord(end) + 1)]


def _cut(number: str) -> tuple[str, str]:
  """'2.6' into '2.' and '6', '4a' into '4' and 'a'."""
  tail = re.findall(r"\d+|[A-Za-z]", number)[-1]
  return number.removesuffix(tail), tail


def _order(reference: str) -> tuple:
  kind, _, number = reference.partition(" ")
  parts = re.findall(r"\d+|[A-Za-z]", number)
  return list(_KINDS).index(kind), [part.zfill(2) for part in parts]


def _docstrings() -> Iterator[tuple[str, str]]:
  """The public names of every module with their docstrings."""
  for path in sorted(_PACKAGE.rglob("*.py")):
    tree = ast.parse(path.read_text(), str(path))
    yield from _public(tree, _package(path))


def _package(path: pathlib.Path) -> str:
  """The package or module right under fmvae, whose names are its own."""
  return path.relative_to(_PACKAGE).with_suffix("").parts[0]


def _public(
  parent: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[str, str]]:
  for node in parent.body:
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
      continue
    if node.name.startswith("_") or _is_protocol(node):
      continue
    name = f"{prefix}.{node.name}".removeprefix(".")
    yield name, ast.get_docstring(node) or ""
    if isinstance(node, ast.ClassDef):
      yield from _public(node, name)


def _is_protocol(node: ast.FunctionDef | ast.ClassDef) -> bool:
  """Whether it only says what others compute."""
  return isinstance(node, ast.ClassDef) and any(
    isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases
  )
