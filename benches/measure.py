"""Runs one command and says what it cost.

Like /usr/bin/time, but for a whole pipeline: every process that the shell waited for is counted, and beside them the
PostgreSQL server and the store, which do their share of the work elsewhere.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """What one run cost. Seconds and bytes."""

    wall: float
    cpu: float
    rss: int
    server_cpu: float
    store_cpu: float
    written: int
    files: tuple = ()


def cpu_of_tree(root):
    """CPU seconds of a process, its living descendants, and those of them that ended and were waited for."""
    total, queue = 0, [root]
    while queue:
        pid = queue.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(value) for value in fields[11:15])
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICKS


class Watch(threading.Thread):
    """Looks, many times a second, for regular files that the processes below `root` hold open for writing."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.found, self.done = root, set(), threading.Event()

    def run(self):
        while not self.done.wait(0.05):
            queue = [self.root]
            while queue:
                pid = queue.pop()
                try:
                    self.look(pid)
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        queue += [int(child) for child in (task / "children").read_text().split()]
                except OSError:
                    continue

    def look(self, pid):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
                flags = int(Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().split("flags:")[1].split()[0], 8)
            except OSError:
                continue
            writes = flags & os.O_ACCMODE != os.O_RDONLY
            if writes and target.startswith("/") and not target.startswith(("/dev/", "/memfd:")):
                self.found.add(target)


def run(command, env, ground, watch=False):
    """Runs a shell command to its end. `ground` has the servers' process ids. A failure ends the benchmark."""
    before = cpu_of_tree(ground.server_pid), cpu_of_tree(ground.store_pid)
    # In memory: a log on the disk would count as written by the command.
    with open(os.memfd_create("output"), "w+b") as output:
        started = time.monotonic()
        argv = ["bash", "-c", f"set -o pipefail; {command}"]
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ground.empty)
        watcher = Watch(child.pid)
        if watch:
            watcher.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        watcher.done.set()
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if child.returncode != 0:
        sys.exit(f"error: `{command}` ended with {child.returncode}:\n{said[-3000:]}")
    time.sleep(0.3)  # backends end a moment after their clients
    return Sample(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        rss=usage.ru_maxrss * 1024,
        server_cpu=cpu_of_tree(ground.server_pid) - before[0],
        store_cpu=cpu_of_tree(ground.store_pid) - before[1],
        written=usage.ru_oublock * 512,
        files=tuple(sorted(watcher.found)),
    )


def interleave(cases, rounds, say):
    """Runs the cases `rounds` times, each round beginning with another one, so that a slow minute hits all alike.

    `cases` maps a name to a function that returns a Sample.
    """
    samples = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            sample = cases[name]()
            samples[name].append(sample)
            say(f"round {number + 1}: {name}: {sample.wall:.2f} s, CPU {sample.cpu:.2f} s")
    return samples


def table(samples, base, gib=None):
    """A Markdown table: medians, and medians of the ratios to `base` within each round, with their range.

    CPU is per GiB where `gib` says how much went through.
    """
    rows = [
        f"| | wall s | ÷ base | CPU {'s/GiB' if gib else 's'} | ÷ base | peak RSS MiB | server CPU s | store CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, mine in samples.items():
        def median(field):
            return statistics.median(getattr(sample, field) for sample in mine)

        def ratio(field):
            ratios = sorted(getattr(a, field) / getattr(b, field) for a, b in zip(mine, samples[base]))
            return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"

        rows.append(
            f"| {name} | {median('wall'):.2f} | {ratio('wall')} | {median('cpu') / (gib or 1):.2f} | {ratio('cpu')} "
            f"| {median('rss') / 2**20:.0f} | {median('server_cpu'):.2f} | {median('store_cpu'):.2f} |"
        )
    return "\n".join(rows)


def save(path, results):
    """Keeps the samples themselves, for whoever doubts the medians."""
    path.write_text(json.dumps(results, indent=1, default=vars) + "\n")
