"""What proof costs: a hash chain against Node, the levels of `verify`, a drill by its phases, new wraps for many data keys."""

import json
import shutil
import statistics
import subprocess
from pathlib import Path

import base
import jobs
import measure
import segments
import stream

HERE = Path(__file__).resolve().parent / "proof"
TABLE = """CREATE TABLE audit_logs (id int NOT NULL, hash varchar(255) NOT NULL, action varchar(255), "resourceType" varchar(255),
  "resourceId" varchar(255), "userId" int, "oldValues" json, "newValues" json, "ipAddress" varchar(255), "userAgent" text,
  "timestamp" timestamptz NOT NULL, "previousHash" varchar(255), reason text, "companyId" int, metadata json)"""
CHAIN = '[verify]\namcheck = "off"\n[verify.chain.audit]\npreset = "sequelize-audit-log"\n'
SMALL_SEGMENT = 1 << 20


def measure_all(ground, given, say):
    results = {}
    if given.chain_rows:
        results |= chain(ground, given.chain_rows, given.rounds, say)
    if given.verify_gib:
        results |= levels(ground, given.verify_gib, given.rounds, say)
    if given.drill_gib:
        results |= drill(ground, given.drill_gib, say)
    if given.data_keys:
        results |= rewrap(ground, given.data_keys, say)
    return results


def chain(ground, rows, rounds, say):
    """Both read the same table from the same server, sorted by it, and compute every hash."""
    programs = ground.folder / "node"
    shutil.copytree(HERE, programs)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(programs)]
    subprocess.run(npm, check=True, capture_output=True)
    programs.chmod(0o755)
    say(f"writing a log of {rows} rows")
    ground.sql("CREATE DATABASE log TEMPLATE template0")
    ground.sql(TABLE, "log")
    ground.shell(f"node {programs}/log.js {rows} | psql -Xq -v ON_ERROR_STOP=1 -d log -c 'COPY audit_logs FROM STDIN'")
    ground.sql("VACUUM ANALYZE", "log")
    config = ground.folder / "chain.toml"
    config.write_text(CHAIN)
    url = f"postgres://postgres@127.0.0.1:{ground.port}/log?sslmode=disable"
    ours = f"{ground.stonewal} verify restore --quiet --database '{url}'"
    cases = {
        "node, json-stable-stringify": lambda: measure.run(f"node {programs}/check.js", ground.env(PGDATABASE="log"), ground),
        "stonewal verify restore": lambda: measure.run(ours, ground.env(STONEWAL_CONFIG=str(config)), ground),
    }
    samples = measure.interleave(cases, rounds, say)
    print(f"## proof: a hash chain of {rows} rows, {rounds} interleaved rounds\n")
    print("| | rows/s | ÷ node (lowest–highest) | CPU µs per row | peak RSS MiB | server CPU s |\n|---|---|---|---|---|---|")
    for name, mine in samples.items():
        middle = lambda field: statistics.median(getattr(sample, field) for sample in mine)
        ratios = sorted(node.wall / sample.wall for node, sample in zip(samples["node, json-stable-stringify"], mine))
        print(
            f"| {name} | {rows / middle('wall'):.0f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) "
            f"| {middle('cpu') / rows * 1e6:.1f} | {middle('rss') / 2**20:.0f} | {middle('server_cpu'):.1f} |"
        )
    print(flush=True)
    ground.sql("DROP DATABASE log")
    return samples


def levels(ground, gib, rounds, say):
    """A repository with one dump of `gib` stored GiB: incompressible, in chunks of the usual size."""
    stream.empty_store(ground, say)
    programs = stream.fake_programs(ground, "proof", stream.NOISE, int(gib * 2**30))
    ground.call(ground.stonewal, "backup", "dump", "--quiet", "--retain", "1h", "--codec", "zstd", "--bin-dir", programs, PGDATABASE="postgres")

    # A recovery file, not the passphrase, whose scrypt would be most of what a list costs.
    env = ground.env(STONEWAL_KEYS_IDENTITY_FILE=str(ground.folder / "recovery.txt"), STONEWAL_AUDIT_MODE="off")
    del env["BACKUP_PASSPHRASE"]

    def case(level):
        return lambda: measure.run(f"{ground.stonewal} verify --quiet --level {level}", env, ground)

    cases = {f"verify --level {level}": case(level) for level in ("list", "checksum", "decrypt")}
    samples = measure.interleave(cases, rounds, say)
    print(f"## proof: verify of {gib:g} GiB, {rounds} interleaved rounds\n")
    print("| | wall s | MB/s | CPU s | peak RSS MiB | store CPU s |\n|---|---|---|---|---|---|")
    for name, mine in samples.items():
        middle = lambda field: statistics.median(getattr(sample, field) for sample in mine)
        rate = "" if name.endswith("list") else f"{gib * 2**30 / 1e6 / middle('wall'):.0f}"
        print(f"| {name} | {middle('wall'):.2f} | {rate} | {middle('cpu'):.2f} | {middle('rss') / 2**20:.0f} | {middle('store_cpu'):.2f} |")
    print(flush=True)
    return samples


def drill(ground, gib, say):
    """One drill of a base backup with some WAL behind it, by the evidence that it leaves."""
    stream.empty_store(ground, say)
    say("making data")
    size = base.make_data(ground, gib)
    segments.make_busy(ground)
    id = base.make_backup(ground, "zstd")
    wal, names = segments.make_wal(ground, 16)
    ground.call(ground.stonewal, "wal", "push", "--quiet", "--from", wal)
    folder = ground.folder / "drill"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    say(f"drilling base {id}")
    command = f"{ground.stonewal} drill --quiet --json --kind base --dir {folder}"
    env = ground.env(STONEWAL_DRILL_DATABASE="base", STONEWAL_LOCK_RETAIN="1h", STONEWAL_VERIFY_TABLES="pgbench_accounts, noise")
    sample = measure.run(f"{command} > {ground.folder}/drill.json", env, ground)
    evidence = json.loads((ground.folder / "drill.json").read_text())["evidence"]
    print(f"## proof: drill of a base of {size / 2**30:.2f} GiB and {len(names)} segments: {evidence['result']}\n")
    print("| phase | s |\n|---|---|")
    for phase in evidence["phases"]:
        print(f"| {phase['name']} | {phase['milliseconds'] / 1000:.1f} |")
    print(f"| all (RTO) | {evidence['rto_milliseconds'] / 1000:.1f} |")
    print(f"\nCPU {sample.cpu:.1f} s, peak RSS {sample.rss / 2**20:.0f} MiB, store CPU {sample.store_cpu:.1f} s\n", flush=True)
    for database in ("base", "busy"):
        ground.sql(f"DROP DATABASE {database}")
    return {"drill": [sample]}


def rewrap(ground, count, say):
    """Every `wal push` is a run with a data key of its own: so many small segments, pushed one by one."""
    stream.empty_store(ground, say)
    writer = ground.folder / "writer"
    writer.unlink(missing_ok=True)
    ground.call(ground.stonewal, "keys", "writer", "--quiet", "--retain", "1h", "--name", "bench", "--out", writer)
    folder = small_segments(ground, count)
    say(f"pushing {count} segments of {SMALL_SEGMENT >> 20} MiB, each under a key of its own")
    env = ground.env(STONEWAL_KEYS_WRITER_FILE=str(writer), STONEWAL_LOCK_RETAIN="1h", STONEWAL_WAL_PUSH_AHEAD="0", STONEWAL_AUDIT_MODE="off")
    del env["BACKUP_PASSPHRASE"]
    # Not by their names in one command line: that has an end somewhere behind ten thousand.
    push = f"find {folder} -type f | sort | xargs -P 4 -n 1 {ground.stonewal} wal push --quiet"
    made = measure.run(push, env, ground)
    other = ground.folder / "other.txt"
    other.unlink(missing_ok=True)
    ground.call(ground.stonewal, "keys", "add", "--quiet", "--retain", "1h", "--recovery-file", other)
    samples = {}
    print(f"## proof: new wraps for {count} data keys, which took {made.wall:.0f} s to make\n")
    print("| | wall s | keys/s | CPU s | peak RSS MiB | store CPU s |\n|---|---|---|---|---|---|")
    for name in ("keys rewrap --all", "the same again, with nothing to do", "keys check, with the new recovery file"):
        command = "keys check --quiet" if name.startswith("keys check") else "keys rewrap --all --quiet --retain 1h"
        env = ground.env()
        if name.startswith("keys check"):
            del env["BACKUP_PASSPHRASE"]
            env["STONEWAL_KEYS_IDENTITY_FILE"] = str(other)
        sample = measure.run(f"{ground.stonewal} {command}", env, ground)
        samples[name] = [sample]
        print(
            f"| {name} | {sample.wall:.1f} | {count / sample.wall:.0f} | {sample.cpu:.1f} | {sample.rss / 2**20:.0f} | {sample.store_cpu:.1f} |",
            flush=True,
        )
    print()
    return samples


def small_segments(ground, count):
    """Segments as a cluster of small segments would archive them: a first page with a header, and nothing behind it."""
    # Any segment: the oldest is surely on the disk.
    oldest = min(path for path in (ground.data / "pg_wal").iterdir() if len(path.name) == 24)
    page = bytearray(oldest.read_bytes()[:8192])
    folder = ground.folder / "segments"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    page[40:] = bytes(8192 - 40)
    # XLogLongPageHeaderData: xlp_pageaddr at 8, xlp_rem_len at 16, xlp_seg_size at 32; the numbers of the machine.
    page[16:20] = bytes(4)
    page[32:36] = SMALL_SEGMENT.to_bytes(4, "little")
    for number in range(1, count + 1):
        address = number * SMALL_SEGMENT
        page[8:16] = address.to_bytes(8, "little")
        with open(folder / f"00000001{address >> 32:08X}{(address & 0xFFFFFFFF) // SMALL_SEGMENT:08X}", "wb") as file:
            file.write(page)
            file.truncate(SMALL_SEGMENT)
    return folder
