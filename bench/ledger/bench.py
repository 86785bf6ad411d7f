#!/usr/bin/env python3
"""Measures the reports over a ledger of many rows: time and most memory of each command, and the limits they must keep.

    bench/ledger/bench.py --autarky PATH --folder FOLDER     FOLDER holds data/ledger.db and autarky.toml
"""

import argparse
import json
import os
import subprocess
import sys
import time

# command line, most seconds, most MiB
MEASURED = [
    (["exposure", "--format", "json"], 5, 1024),
    (["exposure", "--since", "all", "--format", "json"], 5, 1024),
    (["whatif", "price-doubles", "--format", "json"], 30, 1024),
    (["whatif", "partner-gone", "--format", "json"], 30, 1024),
]


def measure(command):
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    return time.monotonic() - begun, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, status, out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--autarky", required=True)
    parser.add_argument("--folder", required=True)
    options = parser.parse_args()
    os.chdir(options.folder)
    size = sum(os.path.getsize(os.path.join("data", name)) for name in os.listdir("data"))
    print(f"ledger: {size / 2**30:.2f} GiB on disk")
    failed = False
    for arguments, seconds, mib in MEASURED:
        took, most, cpu, status, out = measure([options.autarky, *arguments, "--config", "autarky.toml"])
        said = json.loads(out) if status == 0 else {}
        window = said.get("window") or {"requests": said.get("total", {}).get("requests")}
        good = status == 0 and took <= seconds and most <= mib
        failed |= not good
        counts = ", ".join(f"{window[name]} {name}" for name in ("attempts", "requests") if window.get(name))
        verdict = "ok" if good else f"TOO MUCH (limits: {seconds} s, {mib} MiB)" if status == 0 else "FAILED"
        print(f"{' '.join(arguments):44} {took:6.2f} s  cpu {cpu:6.2f} s  {most:6.0f} MiB  {counts}  {verdict}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
