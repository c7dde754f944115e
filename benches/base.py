"""Base backups against pg_basebackup, and their restores against tar. The first case is the base of the ratios."""

import os
import shutil

import jobs
import measure
import segments
import stream

# Of `pgbench -i`, measured: one unit of its scale takes this much, indexes included.
SCALE_BYTES = 15 * 2**20
NOISE = """
import os, sys
for number in range({rows}):
    sys.stdout.write("\\\\\\\\x" + os.urandom(8000).hex() + "\\n")
"""


def make_data(ground, gib):
    """A database half of which compresses well and half of which not at all; its size in bytes."""
    half = gib * 2**30 / 2
    ground.sql("CREATE DATABASE base")
    ground.call("pgbench", "-i", "-q", "-s", max(1, round(half / SCALE_BYTES)), "base")
    # Kept in the row as it is: PostgreSQL would try to compress it and store it elsewhere.
    ground.sql("CREATE TABLE noise (bytes bytea); ALTER TABLE noise ALTER bytes SET STORAGE PLAIN", "base")
    copy = "psql -Xq -v ON_ERROR_STOP=1 -d base -c 'COPY noise FROM STDIN'"
    ground.shell(f"python3 -c '{NOISE.format(rows=int(half / 8192))}' | {copy}")
    ground.sql("VACUUM ANALYZE", "base")
    ground.sql("CHECKPOINT")
    return int(ground.sql("SELECT sum(pg_database_size(oid)) FROM pg_database"))


def settled(ground, command, folder=None, **env):
    """Runs a case with nothing left to be written from the one before, into a folder that is not there yet."""
    shutil.rmtree(folder or ground.folder / "none", ignore_errors=True)
    os.sync()
    return measure.run(command, ground.env(PGDATABASE="postgres", **env), ground)


def copies(ground):
    """What pg_basebackup can do, by name: its options and the file it leaves."""
    version = int(ground.sql("SHOW server_version_num"))
    zstd = {"-z with zstd": ("-Z client-zstd", "base.tar.zst")} if version >= 150000 else {}
    return {"": ("", "base.tar"), "-z": ("-z", "base.tar.gz")} | zstd


def backups(ground, codecs, say):
    """Cases of the base part."""
    pg = "pg_basebackup -Ft -X fetch -c fast"

    def local(options):
        folder = ground.folder / "copy"
        return lambda: settled(ground, f"{pg} {options} -D {folder}", folder)

    def stonewal(codec):
        def once():
            stream.empty_store(ground, say)
            return settled(ground, f"{ground.stonewal} backup base --quiet --retain 1h --codec {codec}")

        return once

    cases = {f"pg_basebackup -Ft {name} -D dir".replace("  ", " "): local(options) for name, (options, _) in copies(ground).items()}
    cases["pg_basebackup -Ft -D - > /dev/null"] = lambda: settled(ground, f"{pg} -D - > /dev/null")
    return cases | {f"stonewal backup base, {codec}": stonewal(codec) for codec in codecs}


def restores(ground, codecs, wal, say):
    """Cases of the recovery part."""
    stream.empty_store(ground, say)
    segments.make_busy(ground)
    target = ground.folder / "restored"

    def tar(name, options, file):
        folder = ground.folder / f"copied {name}".replace(" ", "-")
        ground.call("pg_basebackup", "-Ft", "-X", "fetch", "-c", "fast", *options.split(), "-D", folder)
        command = f"mkdir {target}; tar -x -f {folder / file} -C {target} && sync -f {target}"
        return lambda: settled(ground, command, target)

    def stonewal(id, more):
        command = f"{ground.stonewal} restore base {id} --quiet --confirm --dir {target} {more}"
        return lambda: settled(ground, command, target)

    cases = {f"tar -x, {file}, sync": tar(name, options, file) for name, (options, file) in copies(ground).items()}
    made = {codec: make_backup(ground, codec) for codec in codecs}
    cases |= {f"stonewal restore base, {codec}": stonewal(id, "--wal none --target-immediate") for codec, id in made.items()}
    if wal:
        # No checkpoint since the last of the backups: all WAL behind it is still there.
        segments.make_wal(ground, wal)
        ground.call(ground.stonewal, "wal", "push", "--quiet", "--from", ground.data / "pg_wal")
        cases[f"the same, {codecs[-1]}, --wal local with {wal} segments"] = stonewal(made[codecs[-1]], "--wal local")
    return cases


def make_backup(ground, codec):
    """A base backup; its id."""
    ground.call(ground.stonewal, "backup", "base", "--quiet", "--retain", "1h", "--codec", codec, PGDATABASE="postgres")
    return jobs.newest(ground)
