"""`wal push` and `wal fetch`, called for one segment after the other as PostgreSQL calls them, against cp."""

import shutil
import statistics

import measure
import stream
from latency import Far

FAR = 50
# As pgarch.c does it: the oldest file that is ready, its command by a shell, .ready renamed to .done.
ARCHIVER = """cd {folder}; for name in {names}; do sh -c "{command}" || exit 1;
    mv pg_wal/archive_status/$name.ready pg_wal/archive_status/$name.done; done"""
# As xlogarchive.c does it: always to the same name.
RECOVERY = """cd {folder}; for name in {names}; do sh -c "{command}" || exit 1; done"""


def make_busy(ground):
    """The database that makes WAL, and a checkpoint: behind it the first change of each page brings the whole page along."""
    if ground.sql("SELECT count(*) FROM pg_database WHERE datname = 'busy'") == "0":
        ground.sql("CREATE DATABASE busy")
        ground.call("pgbench", "-i", "-q", "-s", 20, "busy")
    ground.sql("CHECKPOINT")


def make_wal(ground, count):
    """So many finished segments of WAL of transactions: where they lie, and their names."""
    ground.sql("SELECT pg_switch_wal()")
    first = ground.sql("SELECT pg_walfile_name(pg_logical_emit_message(false, 'bench', 'the next segment has begun'))")
    written = f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{ground.sql('SELECT pg_current_wal_lsn()')}') < {count} * 16777216"
    while ground.sql(written) == "t":
        ground.call("pgbench", "-n", "-c", 4, "-j", 2, "-t", 2000, "busy")
    ground.sql("SELECT pg_switch_wal()")
    wal = ground.data / "pg_wal"
    names = sorted(path.name for path in wal.iterdir() if len(path.name) == 24 and path.name >= first)
    return wal, names[:count]


class Host:
    """A data directory as far as archiving and recovery see it, with the keys of a host that archives, and of one that restores."""

    def __init__(self, ground, count, say):
        self.ground, self.say = ground, say
        self.folder, self.target = ground.folder / "host", ground.folder / "archive"
        make_busy(ground)
        wal, self.names = make_wal(ground, count)
        (self.folder / "pg_wal").mkdir(parents=True)
        for name in self.names:
            shutil.copy(wal / name, self.folder / "pg_wal")
        self.fresh_store()

    def fresh_store(self):
        stream.empty_store(self.ground, self.say)
        writer = self.ground.folder / "writer"
        writer.unlink(missing_ok=True)
        self.ground.call(self.ground.stonewal, "keys", "writer", "--quiet", "--retain", "1h", "--name", "bench", "--out", writer)

    def env(self, more):
        env = self.ground.env(
            STONEWAL_KEYS_WRITER_FILE=str(self.ground.folder / "writer"),
            STONEWAL_KEYS_IDENTITY_FILE=str(self.ground.folder / "recovery.txt"),
            STONEWAL_LOCK_RETAIN="1h",
            **more,
        )
        del env["BACKUP_PASSPHRASE"]
        return env

    def push(self, command, more):
        status = self.folder / "pg_wal/archive_status"
        shutil.rmtree(status, ignore_errors=True)
        shutil.rmtree(self.target, ignore_errors=True)
        for folder in (status, self.target):
            folder.mkdir()
        for name in self.names:
            (status / f"{name}.ready").touch()
        return self.run(ARCHIVER, command, self.folder, more)

    def fetch(self, command, more):
        folder = self.ground.folder / "standby"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "pg_wal").mkdir(parents=True)
        return self.run(RECOVERY, command, folder, more)

    def run(self, loop, command, folder, more):
        command = loop.format(folder=folder, names=" ".join(self.names), command=command)
        return measure.run(command, self.env(more), self.ground)


def cases(host, verb, far):
    """Of one direction: by cp, and by stonewal near and far, alone and looking ahead."""
    run, stonewal = getattr(host, verb), host.ground.stonewal
    if verb == "push":
        copy, command = f"cp pg_wal/$name {host.target}/$name", f"{stonewal} wal push --quiet pg_wal/$name"
        copied = f"{host.target}/$name"
    else:
        copy, command = f"cp {host.target}/$name pg_wal/RECOVERYXLOG", f"{stonewal} wal fetch --quiet $name pg_wal/RECOVERYXLOG"
        copied = "pg_wal/RECOVERYXLOG"

    def case(**more):
        def once():
            if verb == "push":
                host.fresh_store()
            return run(command, more)

        return once

    alone = {f"STONEWAL_WAL_{verb.upper()}_AHEAD": "0"}
    there = {"AWS_ENDPOINT_URL_S3": far.endpoint}
    found = {
        "cp": lambda: run(copy, {}),
        "cp, sync": lambda: run(f"{copy} && sync {copied}", {}),
        f"stonewal wal {verb}": case(),
        "the same, alone": case(**alone),
        f"the same, {FAR} ms away": case(**there),
        f"the same, alone, {FAR} ms away": case(**alone, **there),
    }
    return found


def measure_all(ground, count, rounds, say):
    host = Host(ground, count, say)
    results = {}
    with Far(ground, FAR) as far:
        for verb in ("push", "fetch"):
            if verb == "fetch":
                # What a fetch finds is there once: near or far, it is the same store.
                host.fresh_store()
                host.push(f"cp pg_wal/$name {host.target}/$name && {ground.stonewal} wal push --quiet pg_wal/$name", {})
            results[verb] = measure.interleave(cases(host, verb, far), rounds, say)
            print(f"## segments: wal {verb}, {count} segments one after the other, {rounds} interleaved rounds\n")
            print(f"{table(results[verb], count)}\n", flush=True)
    return {f"{verb}, {name}": samples for verb, group in results.items() for name, samples in group.items()}


def table(samples, count):
    rows = ["| | segments/s | ÷ cp (lowest–highest) | CPU ms per segment | peak RSS MiB | store CPU ms per segment |", "|---|---|---|---|---|---|"]
    for name, mine in samples.items():
        ratios = sorted(b.wall / a.wall for a, b in zip(mine, samples["cp"]))
        middle = lambda field: statistics.median(getattr(sample, field) for sample in mine)
        rows.append(
            f"| {name} | {count / middle('wall'):.1f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) "
            f"| {middle('cpu') / count * 1000:.0f} | {middle('rss') / 2**20:.0f} | {middle('store_cpu') / count * 1000:.0f} |"
        )
    return "\n".join(rows)
