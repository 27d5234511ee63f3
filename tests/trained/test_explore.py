"""The programs that write pages about a run, as a user starts them."""

from tests.launch.test_launch import run


def test_pages_of_a_run(tiny, tmp_path):
  workdir = f"--workdir={tiny[1]}"
  out = tmp_path / "explorer.html"
  done = run("explore", workdir, "--nopictures", f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert "0 test pictures; rounding its parameters moves a pixel" in done.stdout
  assert "default-src 'none'" in out.read_text()
  done = run("report", workdir, f"--out={tmp_path / 'report.html'}")
  assert done.returncode == 0, done.stderr
  assert "shapes" in (tmp_path / "report.html").read_text()


def test_what_the_programs_refuse(tiny):
  for program, flag, sentence in (
    ("explore", "--out=page.txt", "--out must end in .html, got page.txt"),
    ("report", "--out=nowhere/a.html", "the folder nowhere, which is not"),
    ("report", "--checkpoint=best", "--checkpoint is for no report"),
  ):
    done = run(program, f"--workdir={tiny[1]}", flag)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
