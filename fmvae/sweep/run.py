"""Runs the tasks of a sweep; what fails does not stop the others."""

import time
from collections.abc import Callable, Sequence

import tqdm

from fmvae.sweep.engines import Engine
from fmvae.sweep.plan import Task, is_done

_POLL_S = 0.5


def run(
  tasks: Sequence[Task],
  engine: Engine,
  command: Callable[..., list[str]],
  report: Callable[[Task], str],
  together: int = 1,
) -> dict[str, str]:
  """Runs every task that has not left its result yet.

  Args:
    tasks: in the order in which they are preferred; each after what it needs.
    engine: runs `engine.slots` programs at a time.
    command: the program call of a task, or of several that are alike.
    report: called when a task has succeeded; what it returns is printed.
    together: how many tasks that are alike one program takes at most.

  Returns:
    What went wrong, by the task's name.
  """
  done = {task.name for task in tasks if is_done(task)}
  waiting = [task for task in tasks if task.name not in done]
  running: dict[str, list[Task]] = {}  # by the name of the first
  failed: dict[str, str] = {}
  with tqdm.tqdm(
    total=len(tasks), initial=len(done), unit="task", disable=None
  ) as bar:

    def say(text: str) -> None:
      with bar.external_write_mode():
        print(text, flush=True)

    def take(group: list[Task]) -> None:
      running[group[0].name] = group
      for task in group:
        waiting.remove(task)
      if bar.disable:  # without a terminal no bar names those at work
        say(f"at work: {_shown(group)}, in {group[0].workdir}")

    def end(task: Task, error: str) -> None:
      if is_done(task):
        done.add(task.name)
        say(f"[{len(done)}/{len(tasks)}] {task.name}: {report(task)}")
      else:
        failed[task.name] = error or "ended without its result"
        say(f"FAILED {task.name}: {failed[task.name]}")
      bar.update()

    try:
      say(f"{len(done)} of {len(tasks)} tasks were finished before.")
      while waiting or running:
        for task in [t for t in waiting if t.needs in failed]:
          failed[task.name] = f"needs {task.needs}, which failed"
          waiting.remove(task)
          bar.update()
        ready = [t for t in waiting if t.needs is None or t.needs in done]
        for task in ready:
          if len(running) == engine.slots:
            break
          if engine.adopt(task.name, task.workdir):
            take([task])
          elif is_done(task):  # by what an earlier sweep has left running
            waiting.remove(task)
            end(task, "")
        while len(running) < engine.slots and (
          group := _next_group([t for t in ready if t in waiting], together)
        ):
          first, *others = group
          also = [task.workdir for task in others]
          engine.start(first.name, command(*group), first.workdir, *also)
          take(group)
        for name, error in engine.poll().items():
          for task in running.pop(name):
            end(task, error)
        bar.set_postfix_str(", ".join(map(_shown, running.values())))
        time.sleep(_POLL_S)
    except BaseException:
      say(f"\n{engine.close()}")
      raise
  return failed


def _next_group(ready: Sequence[Task], together: int) -> list[Task]:
  """The first task, and as many others as one program can take beside it."""
  first, others = ready[:1], ready[1:]
  alike = [t for t in others if t.alike and t.alike == first[0].alike]
  return [*first, *alike[: together - 1]]


def _shown(group: Sequence[Task]) -> str:
  more = f" and {len(group) - 1} more" if len(group) > 1 else ""
  return f"{group[0].name}{more}"
