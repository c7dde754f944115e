"""WAL into the bucket: how far a COMMIT is behind, and what synchronous mode costs."""

import signal
import statistics
import subprocess
import time

STREAM = ["--create-slot", "--unbounded-slot", "--quiet"]
INSERT = "INSERT INTO lag VALUES (repeat(md5(random()::text), 4));\n"


class Standby:
    """A receiver of WAL under the name that synchronous_standby_names has; a context manager."""

    def __init__(self, ground, name, command, **env):
        self.ground, self.name = ground, name
        self.log = open(ground.folder / f"{name}.log", "wb")
        self.process = subprocess.Popen(
            [str(word) for word in command], env=ground.env(PGAPPNAME=name, **env), stdout=self.log, stderr=self.log
        )

    def __enter__(self):
        for _ in range(300):
            if self.ground.sql(f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{self.name}'") == "1":
                return self
            time.sleep(0.1)
        raise SystemExit(f"error: {self.name} does not stream: {open(self.log.name).read()}")

    def __exit__(self, *_):
        wait_for(self.ground, "")
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def stonewal(ground, **env):
    return Standby(ground, "stonewal", [ground.stonewal, "wal", "stream", *STREAM], PGDATABASE="postgres", **env)


def receivewal(ground):
    folder = ground.folder / "received"
    folder.mkdir(exist_ok=True)
    slot = ["pg_receivewal", "--slot=local", "-D", folder]
    ground.call(*slot, "--create-slot", "--if-not-exists")
    return Standby(ground, "local", [*slot, "--synchronous", "--no-loop"])


def wait_for(ground, name):
    """Makes the server wait for this standby, or for none."""
    ground.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    ground.sql("SELECT pg_reload_conf()")
    for _ in range(200):
        sync = ground.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
        if sync == ("1" if name else "0"):
            break
        time.sleep(0.1)
    # The streamer asks every two seconds whether it is waited for.
    time.sleep(3)


def tps(ground, seconds, clients, **env):
    args = ["pgbench", "-n", "-c", clients, "-j", 2, "-T", seconds, "bench"]
    text = ground.call(*args, **env)
    return float(next(line for line in text.splitlines() if line.startswith("tps")).split()[2])


def latencies(ground, seconds):
    """Of single commits, one client: what one waits for one's own flush. In milliseconds, sorted."""
    script, folder = ground.folder / "insert.sql", ground.folder / "latency"
    script.write_text(INSERT)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    prefix = f"--log-prefix={folder}/log"
    ground.call("pgbench", "-n", "-c", 1, "-T", seconds, "-f", script, "-l", prefix, "bench")
    lines = [line for file in folder.iterdir() for line in file.read_text().splitlines()]
    return sorted(int(line.split()[2]) / 1000 for line in lines)


def lags(ground, seconds):
    """flush_lag as the server measures it, under forty commits a second. In milliseconds, sorted."""
    script = ground.folder / "insert.sql"
    script.write_text(INSERT)
    load = ["pgbench", "-n", "-c", "1", "-R", "40", "-T", str(seconds), "-f", str(script), "bench"]
    writing = subprocess.Popen(load, env=ground.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples = []
    while writing.poll() is None:
        lag = ground.sql(
            "SELECT extract(epoch FROM flush_lag) * 1000 FROM pg_stat_replication WHERE application_name = 'stonewal'"
        )
        if lag:
            samples.append(float(lag))
        time.sleep(0.05)
    return sorted(samples)


def row(name, samples):
    at = lambda share: samples[min(len(samples) - 1, int(len(samples) * share))]
    print(f"| {name} | {statistics.median(samples):.1f} | {at(0.99):.1f} | {len(samples)} |")
    return samples


def measure_all(ground, seconds, rounds, say):
    ground.sql("CREATE DATABASE bench")
    ground.call("pgbench", "-i", "-q", "-s", 10, "bench")
    ground.sql("CREATE TABLE lag (text text)", "bench")
    results = {}
    say("lag")
    print("## wal: from COMMIT to durable and locked in the bucket, ms\n\n| mode | p50 | p99 | samples |\n|---|---|---|---|")
    with stonewal(ground):
        results["lag async"] = row("interval of 1 s, 40 commits/s (flush_lag of the server)", lags(ground, seconds))
        wait_for(ground, "stonewal")
        results["lag sync"] = row("synchronous, one client (latency of COMMIT)", latencies(ground, seconds))
    with receivewal(ground):
        wait_for(ground, "local")
        results["lag local"] = row("for comparison: pg_receivewal --synchronous to a local disk", latencies(ground, seconds))
    say("TPS")
    print(f"\n## wal: pgbench -s 10, medians of {rounds} interleaved rounds of {seconds} s, TPS\n")
    cases = {"synchronous_commit = off": [], "pg_receivewal --synchronous": [], "wal stream, synchronous": [], "wal stream, interval": []}
    for _ in range(rounds):
        cases["synchronous_commit = off"].append(
            [tps(ground, seconds, c, PGOPTIONS="-c synchronous_commit=off") for c in (1, 16)]
        )
        with receivewal(ground):
            wait_for(ground, "local")
            cases["pg_receivewal --synchronous"].append([tps(ground, seconds, c) for c in (1, 16)])
        with stonewal(ground):
            cases["wal stream, interval"].append([tps(ground, seconds, c) for c in (1, 16)])
            wait_for(ground, "stonewal")
            cases["wal stream, synchronous"].append([tps(ground, seconds, c) for c in (1, 16)])
    print("| case | 1 client | 16 clients |\n|---|---|---|")
    for name, samples in cases.items():
        one, many = (statistics.median(column) for column in zip(*samples))
        print(f"| {name} | {one:.0f} | {many:.0f} |", flush=True)
    print()
    return results | cases
