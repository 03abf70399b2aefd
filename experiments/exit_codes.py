"""How an experiment ends, as its exit code says it; from 64 on after sysexits.h."""

DONE = 0
USAGE = 2  # a flag, the data or the workdir cannot work, told in one line
WORKER_GONE = 69  # another worker of the run is gone
NOT_FINITE = 70  # a loss or a gradient was not finite
COLLAPSED = 71  # samples became much worse than the best, which is kept
CANNOT_WRITE = 74  # the workdir could no longer be written to
STOPPED = 75  # by a signal, and saved: the same command goes on
INTERRUPTED = 130  # by Ctrl-C before there was anything to save
