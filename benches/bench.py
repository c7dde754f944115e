"""Measures stonewal; started by benches/run, which see. benches/README.md explains the cases."""

import argparse
import os
import platform
import signal
import sys
from pathlib import Path

import audit
import base
import jobs
import measure
import proof
import replica
import retention
import segments
import stream
import wal
from ground import Ground

PARTS = {
    "dump": "backup of a real database against pg_dump and the shell pipeline",
    "restore": "restore against psql and the shell pipeline",
    "stream": "memory and disk for a stream far larger than both",
    "base": "base backup against pg_basebackup",
    "recovery": "restore of a base backup against tar",
    "segments": "wal push and wal fetch against cp",
    "replica": "replica copy against aws s3 sync",
    "proof": "hash chains against Node, levels of verify, phases of a drill, keys rewrap of many keys",
    "retention": "planning, extending and expiring many objects, and listings of a million versions",
    "audit": "verifying an audit log of very many records",
    "wal": "lag of `wal stream`, and TPS in synchronous mode against pg_receivewal",
}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/run", description="Measures stonewal on this machine.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(f"{k}: {v}" for k, v in PARTS.items()))
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--scale", type=int, default=20, help="of pgbench (default 20)")
    parser.add_argument("--rows", type=int, default=500_000, help="of the table documents (default 500000)")
    parser.add_argument("--stream-gib", type=float, default=20, help="half-compressible stream (default 20)")
    parser.add_argument("--noise-gib", type=float, default=4, help="incompressible stream (default 4)")
    parser.add_argument("--base-gib", type=float, default=2, help="database of the base and recovery parts (default 2)")
    parser.add_argument("--replica-gib", type=float, default=1, help="repository of the replica part (default 1)")
    parser.add_argument("--segments", type=int, default=48, help="WAL segments of the recovery and segments parts (default 48)")
    parser.add_argument("--wal-seconds", type=int, default=15, help="of each measurement of the wal part (default 15)")
    parser.add_argument("--objects", type=int, default=100_000, help="of the retention part (default 100000)")
    parser.add_argument("--listed", type=int, default=1_000_000, help="versions in its listing (default 1000000)")
    parser.add_argument("--records", type=int, default=100_000, help="audit records of the audit part (default 100000)")
    parser.add_argument("--chain-rows", type=int, default=1_000_000, help="of the hash chain of the proof part (default 1000000; 0 leaves it out)")
    parser.add_argument("--verify-gib", type=float, default=2, help="repository that is verified (default 2; 0 leaves it out)")
    parser.add_argument("--drill-gib", type=float, default=5, help="database of the drill (default 5; 0 leaves it out)")
    parser.add_argument("--data-keys", type=int, default=10_000, help="data keys that are wrapped anew (default 10000; 0 leaves it out)")
    parser.add_argument("--codecs", default="gzip,zstd", help="of all parts but wal, segments and proof (default gzip,zstd)")
    parser.add_argument("--work", type=Path, help="where the temporary folder goes; needs room for the streams")
    parser.add_argument("--out", type=Path, help="write every sample to this JSON file")
    parser.add_argument("--stonewal", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--aws", required=True, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    given.parts = given.parts or list(PARTS)
    return given


def say(line):
    print(line, file=sys.stderr, flush=True)


def machine(ground):
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = ground.call(ground.stonewal, "--version").strip()
    server = ground.sql("SHOW server_version")
    load = os.getloadavg()[0]
    return (
        f"{version}, PostgreSQL {server}, {os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}; "
        f"load before: {load:.1f}"
    )


def physical(ground, given, codecs):
    """The parts that copy a whole cluster."""
    say("making data")
    gib = base.make_data(ground, given.base_gib) / 2**30
    results, codecs = {}, codecs if "none" in codecs else ["none", *codecs]
    cases = {
        "base": lambda: base.backups(ground, codecs, say),
        "recovery": lambda: base.restores(ground, codecs, given.segments, say),
    }
    for part in [part for part in cases if part in given.parts]:
        chosen = cases[part]()
        results[part] = measure.interleave(chosen, given.rounds, say)
        print(f"## {part}: {gib:.2f} GiB, medians of {given.rounds} interleaved rounds, ratios within each round (lowest–highest)\n")
        print(f"{measure.table(results[part], base=next(iter(chosen)), gib=gib)}\n", flush=True)
    return results


def main():
    given = arguments()
    results = {}
    # Servers are stopped and the folder is removed in that case too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: stopped"))
    with Ground(given.stonewal, given.aws, given.work) as ground:
        print(f"{machine(ground)}\n")
        ground.found_repository()
        if {"dump", "restore"} & set(given.parts):
            say("making data")
            size = ground.make_data(given.scale, given.rows)
            plain = jobs.write_sql_file(ground)
            print(f"Data: pgbench -s {given.scale} and {given.rows} documents, {size} in the database, {plain / 1e6:.0f} MB as SQL\n")
        codecs = given.codecs.split(",")
        for part, cases in (("dump", jobs.dumps), ("restore", jobs.restores)):
            if part not in given.parts:
                continue
            chosen = cases(ground, codecs)
            results[part] = measure.interleave(chosen, given.rounds, say)
            print(f"## {part}: medians of {given.rounds} interleaved rounds, ratios within each round (lowest–highest)\n")
            print(f"{measure.table(results[part], base=next(iter(chosen)))}\n", flush=True)
        if "stream" in given.parts:
            results["stream"] = stream.measure_all(ground, given.stream_gib, given.noise_gib, codecs, say)
        if {"base", "recovery"} & set(given.parts):
            results |= physical(ground, given, codecs)
        if "segments" in given.parts:
            results["segments"] = segments.measure_all(ground, given.segments, given.rounds, say)
        if "replica" in given.parts:
            results["replica"] = replica.measure_all(ground, given.replica_gib, given.rounds, say)
        if "retention" in given.parts:
            ground.restart_store()
            ground.found_repository()
            results["retention"] = retention.measure_all(ground, given.objects, given.listed, say)
        if "audit" in given.parts:
            ground.restart_store()
            # The log that is measured is the only one.
            ground.found_repository(STONEWAL_AUDIT_MODE="off")
            results["audit"] = audit.measure_all(ground, given.records, say)
        if "proof" in given.parts:
            results |= proof.measure_all(ground, given, say)
        if "wal" in given.parts:
            results["wal"] = wal.measure_all(ground, given.wal_seconds, given.rounds, say)
    if given.out:
        measure.save(given.out, results)


if __name__ == "__main__":
    main()
