"""Python objects that a config names, as in 'my_package.my_module:make'.

Their module is found as `import` finds it; the programs look in the folder in
which they were started too.
"""

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# What `make` returned, by object and arguments, beside that object.
_MADE: dict[tuple[int, str], tuple[Any, Any]] = {}


def is_object(name: Any) -> bool:
  """Whether a name in a config means a Python object."""
  return isinstance(name, str) and ":" in name


def resolve(field: str, name: str) -> Callable[..., Any]:
  """The object 'module:attribute'.

  Args:
    field: of the config, for what is said of it.
    name: of the object.

  Raises:
    ValueError: it is not there, or cannot be called; one sentence.
  """
  if not _NAME.fullmatch(name):
    raise ValueError(
      f"{field} must be 'module:attribute' for a Python object, with the "
      f"module's name as import takes it, got {name!r}"
    )
  module, _, attribute = name.partition(":")
  found: Any = None
  try:
    found = importlib.import_module(module)
  except (Exception, SystemExit) as error:  # of code that is not ours
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{module}.".startswith(f"{missing}."):
      raise ValueError(
        f"{field} = {name!r} needs the module {missing!r}, which is not "
        "there: put the folder that holds it on PYTHONPATH"
      ) from None
    raise ValueError(
      f"{field} = {name!r}: importing {module!r} failed ({describe(error)})"
    ) from error
  for part in attribute.split("."):
    if not hasattr(found, part):
      raise ValueError(
        f"{field} = {name!r}: the module {module!r} has no {attribute!r}"
      )
    found = getattr(found, part)
  if not callable(found):
    raise ValueError(
      f"{field} = {name!r} must be a function or a class, got "
      f"{type(found).__name__}"
    )
  return found


def check_arguments(field: str, name: str, *args: Any, **fields: Any) -> None:
  """Raises ValueError unless the object can be called like this."""
  made = resolve(field, name)
  try:
    signature = inspect.signature(made)
  except (TypeError, ValueError):  # of what is not written in Python
    return
  try:
    signature.bind(*args, **fields)
  except TypeError as error:
    given = ", ".join([*["_"] * len(args), *(f"{k}=.." for k in fields)])
    raise ValueError(
      f"{field} = {name!r} is called as ({given}), and its arguments are "
      f"{signature}: {error}"
    ) from None


def make(
  field: str,
  name: str,
  finish: Callable[[Any], Any],
  *args: Any,
  **fields: Any,
) -> Any:
  """What the object returns: the very same for equal arguments.

  So that what it made is equal to itself, whatever it is, and nothing is
  compiled for it twice.

  Args:
    field: of the config, for what is said of it.
    name: of the object.
    finish: checks what the object returns, and returns what is kept of it.
    *args: of the object.
    **fields: of the object.

  Raises:
    ValueError: it cannot be called like this, fails, or returns what `finish`
      refuses or what cannot be hashed.
  """
  check_arguments(field, name, *args, **fields)
  made = resolve(field, name)
  key = (id(made), repr((args, sorted(fields.items()))))
  if key not in _MADE:
    prefix = f"{field} = {name!r}"
    try:
      returned = made(*args, **fields)
    except Exception as error:  # of code that is not ours
      raise ValueError(f"{prefix} failed: {describe(error)}") from error
    try:
      kept = finish(returned)
      hash(kept)
    except ValueError as error:
      raise ValueError(f"{prefix}: {error}") from error.__cause__
    except TypeError as error:
      raise ValueError(
        f"{prefix} must return what can be hashed, such as a frozen dataclass "
        f"without arrays in its fields ({error})"
      ) from error
    _MADE[key] = made, kept
  return _MADE[key][1]


def name_of(field: str, made: Any) -> str:
  """The name by which a config keeps a function or a class.

  Raises:
    ValueError: no other process could find it by a name.
  """
  module = getattr(made, "__module__", None)
  name = f"{module}:{getattr(made, '__qualname__', '')}"
  try:
    if module != "__main__" and resolve(field, name) is made:
      return name
  except ValueError:
    pass
  raise ValueError(
    f"{field} must be a function or a class of a module that can be imported, "
    f"so that the run can be loaded again, got {made!r}: put it in a .py file"
  )


def require_members(made: Any, protocol: type) -> None:
  """Raises ValueError that says which members of a protocol an object lacks."""
  if isinstance(made, type):
    raise ValueError(f"it must return an object, got the class {made.__name__}")
  members = [
    name
    for name, of in vars(protocol).items()
    if not name.startswith("_") and (callable(of) or isinstance(of, property))
  ]
  members += inspect.get_annotations(protocol)
  lacking = [name for name in members if not hasattr(made, name)]
  if lacking:
    raise ValueError(
      f"{type(made).__name__} lacks {', '.join(lacking)} of the protocol "
      f"{protocol.__module__.removesuffix('.record')}.{protocol.__name__}"
    )
  for name in members:
    if callable(vars(protocol).get(name)) and not callable(getattr(made, name)):
      raise ValueError(f"{name} of {type(made).__name__} must be a method")


def describe(error: BaseException) -> str:
  """An error of a user's code on one line."""
  text = " ".join(str(error).split())
  if type(error) is ValueError:
    return text
  return f"{type(error).__name__}: {text}"
