"""What is due when, without a run."""

from fmvae.training.due import Due, Timetable

TABLE = Timetable(log_every=2, evaluate_every=3, save_every=5)


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
  table = Timetable(log_every=2, evaluate_every=0, save_every=5)
  assert not any(table.after(s, 99).evaluate for s in range(1, 99))
  assert table.after(99, 99).evaluate


def test_next_is_the_first_step_at_which_something_is_due():
  for table in (TABLE, Timetable(4, 0, 7)):
    for step in range(40):
      wanted = next(s for s in range(step + 1, 99) if table.after(s, 41))
      assert table.next(step, 41) == (wanted if step < 41 else 41)
