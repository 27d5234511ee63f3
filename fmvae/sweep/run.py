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
  command: Callable[[Task], list[str]],
  report: Callable[[Task], str],
) -> dict[str, str]:
  """Runs every task that has not left its result yet.

  Args:
    tasks: in the order in which they are preferred; each after what it needs.
    engine: runs `engine.slots` of them at a time.
    command: the program call of a task.
    report: called when a task has succeeded; what it returns is printed.

  Returns:
    What went wrong, by the task's name.
  """
  done = {task.name for task in tasks if is_done(task)}
  waiting = [task for task in tasks if task.name not in done]
  running: dict[str, Task] = {}
  failed: dict[str, str] = {}
  with tqdm.tqdm(
    total=len(tasks), initial=len(done), unit="task", disable=None
  ) as bar:

    def say(text: str) -> None:
      with bar.external_write_mode():
        print(text, flush=True)

    try:
      say(f"{len(done)} of {len(tasks)} tasks were finished before.")
      while waiting or running:
        for task in list(waiting):
          if task.needs in failed:
            failed[task.name] = f"needs {task.needs}, which failed"
            waiting.remove(task)
            bar.update()
          elif len(running) < engine.slots and (
            task.needs is None or task.needs in done
          ):
            waiting.remove(task)
            running[task.name] = task
            if not engine.adopt(task.name, task.workdir):
              engine.start(task.name, command(task), task.workdir)
        for name, error in engine.poll().items():
          task = running.pop(name)
          if is_done(task):
            done.add(name)
            say(f"[{len(done)}/{len(tasks)}] {name}: {report(task)}")
          else:
            failed[name] = error or "ended without its result"
            say(f"FAILED {name}: {failed[name]}")
          bar.update()
        bar.set_postfix_str(", ".join(running))
        time.sleep(_POLL_S)
    except BaseException:
      say(f"\n{engine.close()}")
      raise
  return failed
