"""tensorboardX's events, without PyTorch.

tensorboardX loads PyTorch where it is installed, which takes seconds and which
events do not need.
"""

import sys

_hidden = sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
try:
  from tensorboardX.event_file_writer import EventsWriter
  from tensorboardX.proto.event_pb2 import Event, SessionLog
  from tensorboardX.summary import scalar
finally:
  if _hidden is None:
    del sys.modules["torch"]

__all__ = ("Event", "EventsWriter", "SessionLog", "scalar")
