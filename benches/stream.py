"""Memory and disk of one long stream: a program that poses as pg_dump and writes as fast as it is read."""

import os
import sys

import jobs
import measure

# Stands in the folder that postgres.bin_dir names. The block repeats after 8 MiB: no frame (1 MiB) sees a repetition, and
# the largest process of the pipeline is not this one.
FAKE = """#!{python}
import os, subprocess, sys
if "--version" in sys.argv:
    sys.exit(subprocess.run(["{real}", "--version"]).returncode)
MIB = 1 << 20
block = bytearray()
while len(block) < 8 * MIB:
    {line}
del block[8 * MIB:]
def write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]
write(b"--\\n-- PostgreSQL database dump\\n--\\n\\nCOPY t FROM stdin;\\n")
left = {size}
while left > 0:
    write(memoryview(block)[:left])
    left -= len(block)
write(b"\\n\\\\.\\n\\n--\\n-- PostgreSQL database dump complete\\n--\\n\\n")
"""

HALF = 'block += b"%d\\t%s\\tthe same words in every row of this table, again\\n" % (len(block), os.urandom(40).hex().encode())'
NOISE = "block += os.urandom(MIB)"


def fake_programs(ground, name, line, size):
    folder = ground.folder / f"fake-{name}"
    folder.mkdir()
    real = ground.bin / "pg_dump"
    fake = folder / "pg_dump"
    fake.write_text(FAKE.format(python=sys.executable, real=real, line=line, size=size))
    fake.chmod(0o755)
    (folder / "pg_dumpall").symlink_to(ground.bin / "pg_dumpall")
    return folder


def measure_all(ground, half_gib, noise_gib, codecs, say):
    """Backs up each stream, reads it back, prints a table."""
    print("## stream: one run each\n")
    print("| stream | codec | job | wall s | MB/s | CPU s | peak RSS MiB | bytes written to disk | files opened for writing |")
    print("|---|---|---|---|---|---|---|---|---|")
    results = {}
    streams = [("half", HALF, half_gib, codecs), ("noise", NOISE, noise_gib, codecs[:1] + ["none"])]
    for name, line, gib, chosen in streams:
        size = int(gib * 2**30)
        if size == 0:
            continue
        programs = fake_programs(ground, name, line, size)
        for codec in chosen:
            # Between two runs the store would grow by tens of gigabytes: what cannot be deleted is taken from under it.
            empty_store(ground, say)
            backup = f"{ground.stonewal} backup dump --quiet --retain 1d --codec {codec} --bin-dir {programs}"
            stored = measure.run(backup, ground.env(PGDATABASE="postgres"), ground, watch=True)
            show(ground, f"{name} | {codec} | backup dump", gib, stored)
            id = jobs.newest(ground)
            restore = f"test $({ground.stonewal} restore dump {id} --quiet --to-stdout | wc -c) -gt {size}"
            read = measure.run(restore, ground.env(), ground, watch=True)
            show(ground, f"{name} | {codec} | restore dump --to-stdout", gib, read)
            results[f"{name} {codec} backup"], results[f"{name} {codec} restore"] = [stored], [read]
    print()
    return results


def show(ground, what, gib, sample):
    left = tuple(f"left behind: {name}" for name in os.listdir(ground.empty))
    files = ", ".join(sample.files + left) or "none"
    print(
        f"| {gib:g} GiB {what} | {sample.wall:.0f} | {gib * 2**30 / 1e6 / sample.wall:.0f} "
        f"| {sample.cpu:.0f} | {sample.rss / 2**20:.0f} | {sample.written} | {files} |",
        flush=True,
    )


def empty_store(ground, say):
    """Starts the store anew, with a repository and nothing else."""
    ground.restart_store()
    ground.found_repository()
    free = os.statvfs(ground.folder)
    say(f"{free.f_bavail * free.f_frsize / 2**30:.0f} GiB free")
