#!/usr/bin/env python3
"""An hour of everything at once, held to a share of one processor: does anything grow, is anything lost?

  soak.py --autarky BINARY --tools FOLDER [--minutes 60] [--share 0.5] [--load 0.7] [--out FOLDER]

The gateway runs in a CPU group of its own that has `--share` of a processor (cgroup version 1 or 2; without one it gets
the whole machine, and that is said). First its capacity is measured under that share: requests a second that it answers
when many ask at once. Then comes `--load` of that for `--minutes`, as independent clients come: whole answers, streams,
other wires on both sides, kept turns, provider faults that must be gone round (every 50th call), clients that leave,
broken and refused requests, wrong keys, a product that is over its limit and one that is over its budget.

Every five seconds memory, open files, threads and the data folder's size are noted. The slope of each is a least-squares
line through the means of the minutes after the first sixth, with its 95 % interval. At the end three books are compared:
the load's, the providers' and the ledger. Exits with 1 where they differ, where an answer was wrong, or where memory
grows faster than `--most-growth` MiB an hour with certainty. Only the standard library is used.
"""

import argparse, http.client, json, math, os, pathlib, re, signal, socket, sqlite3, statistics, subprocess, sys, tempfile, time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--autarky", required=True)
arguments.add_argument("--tools", required=True)
arguments.add_argument("--minutes", type=float, default=60.0)
arguments.add_argument("--share", type=float, default=0.5)
arguments.add_argument("--load", type=float, default=0.7)
arguments.add_argument("--rate", type=float, default=0.0, help="requests a second, instead of measuring the capacity")
arguments.add_argument("--most-growth", type=float, default=8.0)
arguments.add_argument("--out", help="where configuration, data, samples and report are kept; default: a new folder")
options = arguments.parse_args()
tools = pathlib.Path(options.tools)
home = pathlib.Path(options.out or tempfile.mkdtemp(prefix="soak-")).absolute()
home.mkdir(parents=True, exist_ok=True)

EVERY = 5.0
FAULT_EVERY = 50
PACE_MS = 10


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Group:
    """A CPU group: the gateway's share, weighted so that it really gets it on a busy machine."""

    def __init__(self, name, share=None):
        self.path, self.first = None, pathlib.Path("/sys/fs/cgroup/cpu")
        first = self.first.is_dir()
        path = (self.first if first else pathlib.Path("/sys/fs/cgroup")) / f"{name}-{os.getpid()}"
        try:
            path.mkdir()
            if first:
                (path / "cpu.shares").write_text("16384")
                if share:
                    (path / "cpu.cfs_period_us").write_text("50000")
                    (path / "cpu.cfs_quota_us").write_text(str(int(50000 * share)))
            else:
                (path / "cpu.weight").write_text("10000")
                if share:
                    (path / "cpu.max").write_text(f"{int(50000 * share)} 50000")
            self.path = path
        except OSError as error:
            say(f"no CPU group ({error}): {name} runs on the whole machine")

    def take(self, pid):
        if self.path:
            (self.path / "cgroup.procs").write_text(str(pid))

    def remove(self):
        for _ in range(50):
            try:
                if self.path:
                    self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)


def start(name, command, port, group, environment=None):
    log = open(home / f"{name}.log", "ab")
    process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(environment or {})})
    group.take(process.pid)
    for _ in range(3000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        if process.poll() is not None:
            break
        time.sleep(0.01)
    sys.exit(f"{name} does not listen:\n{(home / f'{name}.log').read_text(errors='replace')[-2000:]}")


def cpu(pid):
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return total / 1e9


def sample(pid, data):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kib = lambda what: int(re.search(rf"{what}:\s+(\d+)", status)[1])
    size = sum(entry.stat().st_size for folder, _, files in os.walk(data) for entry in map(pathlib.Path(folder).joinpath, files) if entry.exists())
    return {
        "rss_mib": kib("VmRSS") / 1024,
        "anonymous_mib": kib("RssAnon") / 1024,
        "threads": kib("Threads"),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "data_mib": size / 1024 / 1024,
    }


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


CONFIG = """
[server]
listen = "127.0.0.1:{port}"
data = "{home}/data"
drain_s = 60

[provider.near]
base_url = "http://127.0.0.1:{near}/v1"
auth = "none"
wires = ["openai-chat"]
[deployment.near]
provider = "near"
model = "bench"
price = {{ input = 1, output = 10 }}
order = 0

[provider.spare]
base_url = "http://127.0.0.1:{spare}/v1"
auth = "none"
wires = ["openai-chat"]
[deployment.spare]
provider = "spare"
model = "bench"
price = {{ input = 1, output = 10 }}
order = 1

[provider.far]
base_url = "http://127.0.0.1:{far}/v1"
auth = "none"
wires = ["anthropic-messages"]
[deployment.far]
provider = "far"
model = "bench"
price = {{ input = 1, output = 10 }}
order = 2

[product.main]
criticality = "critical"
models = ["near", "spare"]
last_resort = []
budget = {{ usd_day = 1_000_000 }}
limits = {{ rpm = 1_000_000, tpm = 1_000_000_000, concurrent = 10_000 }}

[product.cross]
models = ["far"]
last_resort = []

[product.limited]
models = ["spare"]
last_resort = []
limits = {{ rpm = 60 }}

[product.poor]
models = ["spare"]
last_resort = []
budget = {{ usd_minute = 0.1 }}
"""


def keys():
    made = {"wrong": "ak-0000000000000000000000000000000000000000"}
    for product in ("main", "cross", "limited", "poor"):
        command = [options.autarky, "keys", "create", product, "--config", str(home / "autarky.toml"), "--format", "json"]
        made[product] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["secret"]
    return made


def mix(group, **plan):
    """Starts the load; its report is what it prints."""
    file = home / "plan.json"
    file.write_text(json.dumps(plan))
    process = subprocess.Popen([str(tools / "mix"), str(file)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    group.take(process.pid)
    return process


def wrong(told):
    return {name: kind["wrong"] for name, kind in told["kinds"].items() if kind["wrong"]}


def capacity(pid, group, plan):
    """Requests a second when many ask at once; medians of three tries, and the CPU they took."""
    rates = []
    for workers in (64, 96, 96, 96):
        before, begun = cpu(pid), time.monotonic()
        told = json.loads(mix(group, rate=0, workers=workers, seconds=15, **plan).communicate()[0])
        used = (cpu(pid) - before) / (time.monotonic() - begun)
        rate = told["asked"] / told["seconds"]
        say(f"{workers} at once: {rate:.0f} requests/s with {used:.3f} of a processor; wrong: {wrong(told)}")
        rates.append((rate, used, told))
    return statistics.median(rate for rate, _, _ in rates[1:]), [told for _, _, told in rates]


def slope(samples, what, from_s):
    """Least squares through the means of minutes: growth an hour, half the width of its 95 % interval."""
    minutes = {}
    for one in samples:
        if one["s"] >= from_s:
            minutes.setdefault(int(one["s"] // 60), []).append(one[what])
    x = sorted(minutes)
    y = [statistics.mean(minutes[minute]) for minute in x]
    n = len(x)
    if n < 4:
        return 0.0, math.inf, statistics.mean(y) if y else 0.0
    mx, my = statistics.mean(x), statistics.mean(y)
    sxx = sum((at - mx) ** 2 for at in x)
    b = sum((at - mx) * (value - my) for at, value in zip(x, y)) / sxx
    rest = sum((value - my - b * (at - mx)) ** 2 for at, value in zip(x, y))
    t = 1.96 + 2.4 / (n - 2) + 3.0 / (n - 2) ** 2  # close to Student's quantile for n - 2 degrees of freedom
    return b * 60, t * math.sqrt(rest / (n - 2) / sxx) * 60, my


def settled(database):
    """Waits until the feeder has caught up; the rows by product and outcome."""
    columns = "product, deployment, dialect, mode, outcome"
    before = None
    for _ in range(240):
        days = [day for (day,) in database.execute("SELECT day FROM days")]
        parts = " UNION ALL ".join(f"SELECT {columns} FROM attempts_{day}" for day in days)
        rows = database.execute(f"SELECT {columns}, count(*) FROM ({parts}) GROUP BY {columns}").fetchall() if days else []
        if rows == before and not any(row[4] == "open" for row in rows):
            return rows
        before = rows
        time.sleep(1)
    return before


def main():
    near, spare, far, port = (free_port() for _ in range(4))
    load_group, gateway_group = Group("soak-load"), Group("soak-gateway", options.share)
    providers = {
        "near": (near, start("near", [tools / "upstream", near, PACE_MS, FAULT_EVERY], near, load_group)),
        "spare": (spare, start("spare", [tools / "upstream", spare, PACE_MS, 0], spare, load_group)),
        "far": (far, start("far", [tools / "upstream", far, PACE_MS, 0], far, load_group)),
    }
    (home / "autarky.toml").write_text(CONFIG.format(port=port, home=home, near=near, spare=spare, far=far))
    secrets = keys()
    gateway = start("gateway", [options.autarky, "serve", "--config", home / "autarky.toml"], port, gateway_group)
    pid, plan = gateway.pid, {"port": port, "provider": "spare", "keys": secrets}
    samples, loads, code = [], [], 1
    load = None
    try:
        rate = options.rate
        if not rate:
            rate, loads = capacity(pid, load_group, plan)
            say(f"capacity under {options.share:g} of a processor: {rate:.0f} requests/s")
            rate *= options.load
        say(f"{options.minutes:g} minutes at {rate:.0f} requests/s; {home}")
        begun, used = time.monotonic(), cpu(pid)
        load = mix(load_group, rate=rate, seconds=options.minutes * 60, **plan)
        with open(home / "samples.jsonl", "w") as out:
            while load.poll() is None:
                one = {"s": time.monotonic() - begun, **sample(pid, home / "data")}
                samples.append(one)
                out.write(json.dumps(one) + "\n")
                out.flush()
                if len(samples) % 60 == 1:
                    say(", ".join(f"{name} {value:.1f}" for name, value in one.items()))
                time.sleep(EVERY)
        used = (cpu(pid) - used) / (time.monotonic() - begun)
        told = json.loads(load.stdout.read())
        loads.append(told)
        (home / "load.json").write_text(json.dumps(loads, indent=1))
        (home / "metrics.txt").write_text(get(port, "/metrics"))
        code = report(samples, loads, rate, used, {name: json.loads(get(at, "/counts")) for name, (at, _) in providers.items()})
        os.kill(pid, signal.SIGTERM)
        ended = gateway.wait(90)
        say(f"the gateway ended with {ended}")
        code = code or ended
    finally:
        for process in [load, gateway, *(process for _, process in providers.values())]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        load_group.remove()
        gateway_group.remove()
    sys.exit(code)


def report(samples, loads, rate, used, counts):
    told, problems = loads[-1], []
    print(f"\n{told['seconds'] / 60:.1f} minutes at {rate:.0f} requests/s with {used:.3f} of a processor: {told['asked']} requests, "
          f"{told['held_back']} held back, {told['still_under_way']} without an end\n")
    if told["still_under_way"] or told["held_back"]:
        problems.append("requests that were held back or did not end")
    print("| what | mean | slope per hour | 95 % interval |\n|---|---|---|---|")
    from_s = told["seconds"] / 6
    for what in ("rss_mib", "anonymous_mib", "files", "threads", "data_mib"):
        grows, half, mean = slope(samples, what, from_s)
        print(f"| {what} | {mean:.1f} | {grows:+.2f} | {grows - half:+.2f} to {grows + half:+.2f} |")
        if what == "rss_mib" and grows - half > options.most_growth:
            problems.append(f"memory grows by {grows:.1f} MiB an hour")
    print("\n| kind | asked | by status | complete | left | wrong |\n|---|---|---|---|---|---|")
    for name, kind in told["kinds"].items():
        statuses = ", ".join(f"{status}: {count}" for status, count in kind["by_status"].items())
        print(f"| {name} | {kind['asked']} | {statuses} | {kind['complete']} | {kind['left']} | {sum(kind['wrong'].values())} |")
        for what, count in kind["wrong"].items():
            problems.append(f"{name}: {count} × {what}")

    # the three books, the measuring of the capacity included
    total = lambda name, what: sum(load["kinds"][name][what] for load in loads)
    with sqlite3.connect(f"file:{home}/data/ledger.db?mode=ro", uri=True) as database:
        rows = settled(database)
    by = lambda **wanted: sum(row[5] for row in rows if all(dict(zip(("product", "deployment", "dialect", "mode", "outcome"), row))[name] == value for name, value in wanted.items()))
    print("\n| ledger: product | deployment | dialect | mode | outcome | rows |\n|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(f"\nproviders: {json.dumps(counts)}\n")
    upstream = sum(count["requests"] for count in counts.values())
    ledger = sum(row[5] for row in rows)
    books = [("rows of the ledger and calls that the providers saw", ledger, upstream)]
    for outcome in ("open", "unknown"):
        books.append((f"rows that are `{outcome}`", by(outcome=outcome), 0))
    answered = lambda name: sum(count for load in loads for status, count in load["kinds"][name]["by_status"].items() if status == "200")
    main_kinds = ("whole", "stream", "messages", "messages stream", "responses", "left")
    cross_kinds = ("cross whole", "cross stream", "left cross")
    for product, kinds in (("cross", cross_kinds), ("limited", ("limited",)), ("poor", ("poor",))):
        ok = by(product=product, outcome="ok") + by(product=product, outcome="cancelled")
        books.append((f"product `{product}`: rows that are ok or given up, and answers that its clients had", ok, sum(map(answered, kinds))))
    # Who leaves late may have had all of it, so those who left count on both sides.
    done = sum(total(name, "complete") + total(name, "left") for name in main_kinds)
    passed = by(product="main", dialect="pass-through", outcome="ok")
    ended = by(product="main", outcome="ok") + by(product="main", outcome="cancelled") - passed
    books.append(("product `main`: rows that are ok or given up beside those passed through, and answers complete or left", ended, done))
    print("| books | one | other | |\n|---|---|---|---|")
    for what, one, other in books:
        print(f"| {what} | {one} | {other} | {'agree' if one == other else 'DIFFER'} |")
        if one != other:
            problems.append(f"{what}: {one} and {other}")
    for problem in problems:
        print(f"\nPROBLEM: {problem}")
    print("\nnothing grew, nothing was lost" if not problems else "")
    sys.stdout.flush()
    return 1 if problems else 0


main()
