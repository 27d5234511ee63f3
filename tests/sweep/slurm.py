"""A real Slurm of one node on this machine, for the tests.

Needs Debian's slurm-wlm and munge, and root, as munged and slurmd ask for it.
Everything lies in one folder and ends with the context.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue")

_CONF = """\
ClusterName=fmvae
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SchedulerParameters=sched_interval=1
MinJobAge=2
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=1000 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
  """Why there can be no Slurm here; '' where there can."""
  absent = [name for name in PROGRAMS if shutil.which(name) is None]
  if absent:
    return f"no {', '.join(absent)}: install Debian's slurm-wlm and munge"
  return "" if os.geteuid() == 0 else "munged and slurmd need root"


@contextlib.contextmanager
def running(folder: pathlib.Path):
  """Starts munge and Slurm; yields the environment that programs need."""
  for part in ("state", "spool"):
    (folder / part).mkdir()
  host = socket.gethostname().split(".")[0]
  text = _CONF.format(
    host=host, folder=folder, ports=_free_ports(2), cores=os.cpu_count()
  )
  (folder / "slurm.conf").write_text(text)
  environment = {"SLURM_CONF": str(folder / "slurm.conf")}
  daemons = []

  def start(*command: str) -> None:
    with (folder / f"{pathlib.Path(command[0]).name}.out").open("w") as out:
      daemons.append(
        subprocess.Popen(
          command, env=os.environ | environment, stdout=out, stderr=out
        )
      )

  try:
    key = folder / "munge.key"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
    start(
      "munged",
      "--foreground",
      "--force",
      f"--key-file={key}",
      f"--socket={folder}/munge.socket",
      f"--pid-file={folder}/munged.pid",
      f"--log-file={folder}/munged.log",
      f"--seed-file={folder}/munged.seed",
    )
    _wait(lambda: (folder / "munge.socket").exists(), folder)
    start("slurmctld", "-D", "-c")
    start("slurmd", "-D", "-N", host)
    _wait(lambda: "idle" in _sinfo(environment), folder)
    yield environment
  finally:
    for daemon in reversed(daemons):
      daemon.terminate()
    for daemon in daemons:
      try:
        daemon.wait(10)
      except subprocess.TimeoutExpired:
        daemon.kill()


def _free_ports(num: int) -> list[int]:
  sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(num)]
  ports = [s.getsockname()[1] for s in sockets]
  for s in sockets:
    s.close()
  return ports


def _sinfo(environment: dict[str, str]) -> str:
  return subprocess.run(
    ["sinfo", "--noheader", "--format=%T"],
    env=os.environ | environment,
    capture_output=True,
    text=True,
    check=False,
  ).stdout


def _wait(condition, folder: pathlib.Path, seconds: float = 60) -> None:
  end = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > end:
      logs = [
        f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}"
        for path in sorted(folder.glob("*.log")) + sorted(folder.glob("*.out"))
      ]
      raise TimeoutError("Slurm does not start\n" + "\n".join(logs))
    time.sleep(0.2)
