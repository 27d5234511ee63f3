"""What is due when, without a run."""

from fmvae.training import records
from fmvae.training.due import Due, Timetable

TABLE = Timetable(log_every=2, evaluate_every=3, save_every=5, total=120)


def test_each_thing_has_its_period():
  found = {step: TABLE.after(step, end=99) for step in range(1, 31)}
  assert [s for s, due in found.items() if due.log] == list(range(2, 31, 2))
  assert [s for s, due in found.items() if due.evaluate] == list(
    range(3, 31, 3)
  )
  assert [s for s, due in found.items() if due.save] == list(range(5, 31, 5))
  assert not found[7]
  assert found[9]


def test_everything_is_due_at_the_end_of_a_phase():
  assert TABLE.after(7, end=7) == Due(True, True, True)


def test_without_a_period_it_is_due_at_the_end_alone():
  table = Timetable(log_every=2, evaluate_every=0, save_every=5, total=120)
  assert not any(table.after(s, 99).evaluate for s in range(1, 99))
  assert table.after(99, 99).evaluate


def test_an_evaluation_may_be_due_at_the_end_of_the_run_alone():
  table = Timetable(log_every=2, evaluate_every=None, save_every=5, total=9)
  assert table.after(4, end=4) == Due(True, False, True)
  assert table.after(9, end=9) == Due(True, True, True)


def test_next_is_the_first_step_at_which_something_is_due():
  for table in (TABLE, Timetable(4, 0, 7, 120), Timetable(4, None, 7, 41)):
    for step in range(40):
      wanted = next(s for s in range(step + 1, 99) if table.after(s, 41))
      assert table.next(step, 41) == (wanted if step < 41 else 41)


def rows(bounds, split="validation"):
  return [
    {"step": step, "split": split, "bound": bound}
    for step, bound in bounds.items()
  ]


def test_patience_counts_what_came_after_the_best():
  test = rows({10: 9.0, 40: 9.0}, "test")
  found = rows({10: -5.0, 20: -3.0, 30: -4.0, 40: -3.0})
  assert records.best_step(found + test) == 20  # the first of equal ones
  assert records.best_step(test) == 10  # where there is no validation
  assert records.best_step([]) is None
  for start, patience, wanted in (
    (0, 2, True),
    (0, 3, False),
    (0, 0, False),  # never
    (30, 2, False),  # the last phase has had one evaluation
    (30, 1, True),
  ):
    assert records.is_exhausted(found + test, start, patience) is wanted
