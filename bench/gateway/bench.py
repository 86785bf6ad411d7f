#!/usr/bin/env python3
"""Measures the gateway against its floors and LiteLLM's proxy: all in one run, in turns, on one machine.

  bench.py --autarky BINARY --tools FOLDER [--litellm PYTHON] [--peer 'NAME=COMMAND'] [--rounds 5] [--seconds 3] [--only NAME,NAME]

The gateway under test has processor 0 to itself; load (wrk, and the tools' own client for streams) and provider share
processor 1. CPU per request is user and system time of the gateway's whole process tree over the requests answered.
Everything is given as a multiple of `floor_pass`, a proxy that only passes bytes, measured in the same round; the table
shows medians of all rounds. Only the standard library is used.

A peer is any gateway that speaks Chat Completions: {port}, {provider} and {other} stand for ports in its COMMAND, and what follows
` -- ` are headers that its requests carry (`x-portkey-provider: openai`), separated by `;`.
"""

import argparse, http.client, json, os, pathlib, re, signal, socket, statistics, subprocess, sys, tempfile, time, resource

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--autarky", required=True)
arguments.add_argument("--tools", required=True)
arguments.add_argument("--litellm", help="a Python that has litellm[proxy]")
arguments.add_argument("--peer", action="append", default=[])
arguments.add_argument("--streams", type=int, default=10_000, help="streams open at once, at the end; 0: none")
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--seconds", type=float, default=3.0)
arguments.add_argument("--only", default="")
arguments.add_argument("--json", help="where to write every figure")
options = arguments.parse_args()
tools = pathlib.Path(options.tools)
folder = pathlib.Path(tempfile.mkdtemp(prefix="gateway-bench-"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, core, port, environment=None, patience=90):
    """Starts a server on `core`; its process and the seconds until it listened."""
    begun = time.monotonic()
    log = open(folder / f"{port}.log", "wb")
    environment = {**os.environ, **(environment or {})}
    process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdout=log, stderr=log, env=environment, start_new_session=True)
    while time.monotonic() - begun < patience:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, time.monotonic() - begun
        if process.poll() is not None:
            break
        time.sleep(0.002)
    sys.exit(f"{command[0]} does not listen:\n{(folder / f'{port}.log').read_text(errors='replace')[-2000:]}")


def tree(pid):
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                todo += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            pass
    return found


def cpu(pid, named=""):
    """Seconds of processor time of a process tree, or of its threads whose names begin with `named`."""
    total = 0.0
    for one in tree(pid):
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                about = pathlib.Path(f"/proc/{one}/task/{thread}")
                if (about / "comm").read_text().startswith(named):
                    total += int((about / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            pass
    return total


def memory(pid):
    """Resident MiB of a process tree: now."""
    total = 0
    for one in tree(pid):
        try:
            total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{one}/status").read_text())[1])
        except (OSError, TypeError):
            pass
    return total / 1024


# What is asked: 1 KB, and a conversation of 64 KB; and 7 KB for other wires.
def conversation(size):
    turns, text = [], "The quick brown fox jumps over the lazy dog, and nobody asks why. " * 4
    while len(json.dumps(turns)) < size:
        turns.append({"role": "user" if len(turns) % 2 == 0 else "assistant", "content": text})
    if len(turns) % 2 == 0:
        turns.append({"role": "user", "content": "And now?"})
    return turns


def body(size, stream=False):
    asked = {"model": "bench", "messages": conversation(size), "max_tokens": 100}
    if stream:
        asked["stream"] = True
    path = folder / f"body-{size}-{stream}.json"
    path.write_text(json.dumps(asked))
    return path


BODIES = {"1K": body(1000), "7K": body(7000), "64K": body(64_000), "stream": body(1000, True)}


def load(port, key, file, connections, seconds, headers=()):
    """Requests answered by a closed loop, and latencies in microseconds."""
    script = folder / "wrk.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer {key}"\n'
        + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers)
        + f'local file = io.open("{file}", "rb")\nwrk.body = file:read("*a")\nfile:close()\n'
        "function done(summary, latency, requests)\n"
        '  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout\n'
        '  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), bad))\nend\n'
    )
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), f"http://127.0.0.1:{port}{CHAT}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, duration, p50, p99, bad = map(int, re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", told).groups())
    return {"requests": requests, "rate": requests / (duration / 1e6), "p50": p50, "p99": p99, "bad": bad}


def streams(port, key, connections, seconds):
    command = ["taskset", "-c", "1", str(tools / "streams"), str(port), CHAT, key, str(BODIES["stream"]), str(connections), f"{seconds:g}"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Gateway:
    """One gateway under test."""

    key = "unused"

    def __init__(self, name, command, environment=None, headers=()):
        self.name, self.figures, self.headers = name, {}, headers
        self.port = free_port()
        self.process, self.cold = start(command(self.port), 0, self.port, environment)
        self.settle()
        self.idle = memory(self.process.pid)

    def settle(self):
        for _ in range(300):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}", **dict(self.headers)}
                connection.request("POST", CHAT, BODIES["1K"].read_bytes(), headers)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status == 200:
                    return
            except OSError as error:
                said = error
            time.sleep(0.1)
        sys.exit(f"{self.name} does not answer: {said}")

    def note(self, what, figure):
        self.figures.setdefault(what, []).append(figure)

    def measure(self, seconds):
        for size in ("1K", "7K", "64K"):
            before, fed = cpu(self.process.pid), cpu(self.process.pid, "ledger-")
            told = load(self.port, self.key, BODIES[size], 16, seconds, self.headers)
            if told["bad"] or not told["requests"]:
                sys.exit(f"{self.name}: {told}")
            self.note(f"cpu {size}", (cpu(self.process.pid) - before) / told["requests"] * 1e6)
            if size == "1K":
                self.note("rate c16", told["rate"])
                self.note("cpu ledger", (cpu(self.process.pid, "ledger-") - fed) / told["requests"] * 1e6)
        for connections in (1, 64, 256):
            told = load(self.port, self.key, BODIES["1K"], connections, max(1, seconds / 2), self.headers)
            self.note(f"rate c{connections}", told["rate"])
            if connections == 1:
                self.note("p50", told["p50"])
                self.note("p99", told["p99"])
        self.note("rss loaded", memory(self.process.pid))
        if self.headers:
            return  # the client of streams sends none
        before = cpu(self.process.pid)
        told = streams(self.port, self.key, 16, seconds)
        if told["failed"] or not told["chunks"]:
            sys.exit(f"{self.name}: {told}")
        self.note("cpu chunk", (cpu(self.process.pid) - before) / told["chunks"] * 1e6)
        self.note("first p50", told["first_p50"])
        self.note("delay p50", told["delay_p50"])

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def many_streams(make, count, pace=2.0, window=10.0):
    """CPU in microseconds per chunk while `count` streams are open, each with a chunk every `pace` seconds."""
    provider, tokens = free_port(), int((window + 30) / pace)
    process, _ = start([tools / "upstream", provider, int(pace * 1000), tokens], 1, provider)
    gateway = make(provider)
    try:
        command = [tools / "streams", gateway.port, CHAT, gateway.key, BODIES["stream"], count, 0.001, tokens]
        client = subprocess.Popen(["taskset", "-c", "1", *map(str, command)], stdout=subprocess.PIPE, text=True)
        time.sleep(20)
        before, begun = cpu(gateway.process.pid), time.monotonic()
        time.sleep(window)
        spent, took = cpu(gateway.process.pid) - before, time.monotonic() - begun
        told = json.loads(client.communicate(timeout=120)[0])
        if told["failed"] or told["streams"] != count:
            sys.exit(f"{gateway.name} with {count} streams: {told}")
        return spent / (count * took / pace) * 1e6, memory(gateway.process.pid)
    finally:
        gateway.stop()
        process.kill()


class Direct(Gateway):
    """No gateway: what the load and the provider cost by themselves."""

    def __init__(self, port, process):
        self.name, self.figures, self.port, self.process, self.cold, self.idle, self.headers = "direct", {}, port, process, 0.0, 0.0, ()


class Autarky(Gateway):
    """Ours, with a key, a plan, the ledger and metrics, as users run it."""

    def __init__(self, name, provider, wire="openai-chat", deployments=1, keys=1, ledger=True):
        self.ledger = ledger
        self.home = folder / name
        self.home.mkdir()
        config = self.home / "autarky.toml"
        text = f'[server]\nlisten = "127.0.0.1:PORT"\ndata = "{self.home}/data"\n[product.bench]\n'
        for at in range(deployments):
            label = "bench" if at == 0 else f"other-{at}"
            text += f'[provider.{label}]\nbase_url = "http://127.0.0.1:{provider}/v1"\nauth = "none"\nwires = ["{wire}"]\n'
            text += f'[deployment.{label}]\nprovider = "{label}"\norder = {at}\n'
        self.text, self.config = text, config
        config.write_text(text.replace("PORT", "0"))
        run = [options.autarky, "keys", "create", "bench", "--config", str(config), "--format", "json"]
        made = subprocess.run(run, capture_output=True, text=True, check=True)
        self.key = json.loads(made.stdout)["secret"]
        if keys > 1:
            self.many_keys(keys - 1)
        super().__init__(name, self.command)

    def many_keys(self, count):
        """Rows like the one made, put into the database that the server reads at start."""
        import hashlib, sqlite3

        database = sqlite3.connect(self.home / "data" / "ledger.db")
        columns = [row[1] for row in database.execute("PRAGMA table_info(keys)")]
        row = dict(zip(columns, database.execute("SELECT * FROM keys").fetchone()))
        rows = []
        for at in range(count):
            other = {**row, "id": f"key_bench{at:08}", "hash": hashlib.sha256(str(at).encode()).digest() if isinstance(row.get("hash"), bytes) else hashlib.sha256(str(at).encode()).hexdigest()}
            rows.append([other[column] for column in columns])
        database.executemany(f"INSERT INTO keys VALUES ({','.join('?' * len(columns))})", rows)
        database.commit()
        database.close()

    def command(self, port):
        self.config.write_text(self.text.replace("PORT", str(port)))
        return [options.autarky, "serve", "--config", self.config] + ([] if self.ledger else ["--without-ledger"])


def litellm(provider):
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n"
        f"      api_base: http://127.0.0.1:{provider}/v1\n      api_key: unused\n"
        "litellm_settings:\n  num_retries: 0\n  telemetry: false\ngeneral_settings:\n  master_key: sk-bench\n"
    )
    program = pathlib.Path(options.litellm).parent / "litellm"
    return lambda port: [program, "--config", config, "--port", port, "--host", "127.0.0.1", "--num_workers", "1"]


def main():
    provider = free_port()
    process, _ = start([tools / "upstream", provider, "10"], 1, provider)
    wanted = [name for name in options.only.split(",") if name]
    gateways = [Direct(provider, process)]

    def add(name, make):
        if not wanted or name in wanted or name == "floor_pass":
            say(f"starting {name}")
            gateways.append(make())

    for floor in ("floor_pass", "floor_serde"):
        add(floor, lambda: Gateway(floor, lambda port: [tools / floor, port, f"127.0.0.1:{provider}"]))
    add("autarky", lambda: Autarky("autarky", provider))
    add("autarky-cross", lambda: Autarky("autarky-cross", provider, wire="anthropic-messages"))
    add("autarky-no-ledger", lambda: Autarky("autarky-no-ledger", provider, ledger=False))
    add("autarky-10-and-10", lambda: Autarky("autarky-10-and-10", provider, deployments=10, keys=10))
    add("autarky-1000-deployments", lambda: Autarky("autarky-1000-deployments", provider, deployments=1000))
    add("autarky-100000-keys", lambda: Autarky("autarky-100000-keys", provider, keys=100_000))
    if options.litellm:

        def proxy():
            Gateway.key = "sk-bench"
            made = Gateway("litellm", litellm(provider), {"LITELLM_LOG": "ERROR"})
            made.key, Gateway.key = "sk-bench", "unused"
            return made

        add("litellm", proxy)
    for peer in options.peer:
        name, _, command = peer.partition("=")
        command, _, headers = command.partition(" -- ")
        headers = [tuple(header.strip().replace("{provider}", str(provider)).split(": ", 1)) for header in headers.split(";") if header.strip()]
        words = lambda port: command.format(port=port, provider=provider, other=free_port()).split()
        add(name, lambda: Gateway(name, words, headers=headers))
    try:
        for round_number in range(options.rounds):
            for gateway in gateways if round_number % 2 == 0 else reversed(gateways):
                say(f"round {round_number + 1} of {options.rounds}: {gateway.name}")
                gateway.measure(options.seconds)
    finally:
        for gateway in gateways[1:]:
            gateway.stop()
        process.kill()
    report(gateways)
    if options.streams:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(options.streams, (hard - 500) // 2)
        makes = {
            "floor_pass": lambda to: Gateway("floor_pass", lambda port: [tools / "floor_pass", port, f"127.0.0.1:{to}"]),
            "autarky": lambda to: Autarky(f"autarky-{count}-streams", to),
        }
        for name, make in makes.items():
            say(f"{name}: {count} streams at once")
            (one, _), (some, _), (many, mib) = many_streams(make, 1, pace=0.01), many_streams(make, 100, pace=0.1), many_streams(make, count)
            print(f"{name}: {one:.1f} us of CPU per chunk with 1 stream open, {some:.1f} with 100, {many:.1f} with {count} ({many / one:.2f} x, {many / some:.2f} x), {mib:.0f} MiB")


# What must stay flat as work grows: which gateway, beside which, and the most that their ratio may be.
FLAT = [
    ("1,000 deployments beside 10", "autarky-1000-deployments", "autarky-10-and-10", 1.2),
    ("100,000 keys beside 10", "autarky-100000-keys", "autarky-10-and-10", 1.1),
    ("ledger on beside off", "autarky", "autarky-no-ledger", 1.15),
]


def flat(gateways):
    """CPU per request as a multiple of another gateway's of the same round."""
    named = {gateway.name: gateway for gateway in gateways}
    for what, one, other, most in FLAT:
        if one not in named or other not in named:
            continue
        told = []
        for size in ("1K", "64K"):
            pairs = zip(named[one].figures[f"cpu {size}"], named[other].figures[f"cpu {size}"])
            ratios = [mine / theirs for mine, theirs in pairs]
            told.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) at {size[:-1]} KB")
        print(f"{what}: CPU per request x {', '.join(told)}; goal {most}")


def report(gateways):
    floor = next(gateway for gateway in gateways if gateway.name == "floor_pass")
    direct = gateways[0]

    def ratio(gateway, what, base=0.0):
        """Median and range of a figure as a multiple of the floor's of the same round."""
        pairs = zip(gateway.figures.get(what, []), floor.figures[what], direct.figures[what])
        return [(mine - base * bare) / (theirs - base * bare or 1) for mine, theirs, bare in pairs]

    def cell(values):
        if not values:
            return "-"
        return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    said = lambda gateway, what: statistics.median(gateway.figures[what])
    print(f"\nfloor_pass: {said(floor, 'cpu 1K'):.1f} us of CPU per request of 1 KB, {said(floor, 'cpu 64K'):.1f} of 64 KB, {said(floor, 'cpu chunk'):.1f} per streamed chunk;")
    rates = lambda gateway: ", ".join(f"{said(gateway, f'rate c{n}'):.0f}" for n in (1, 16, 64, 256))
    print(f"requests/s at 1, 16, 64, 256 connections: {rates(floor)}; direct: {rates(direct)}")
    print(f"first token p50 {said(floor, 'first p50'):.0f} us (direct {said(direct, 'first p50'):.0f}), delay of a token p50 {said(floor, 'delay p50'):.0f} us (direct {said(direct, 'delay p50'):.0f})\n")
    print(f"Multiples of floor_pass, medians of {options.rounds} rounds (range); added = over direct.\n")
    head = ["gateway", "CPU 1 KB", "of it ledger threads", "CPU 7 KB", "CPU 64 KB", "CPU chunk", "requests/s c1", "c16", "c64", "c256", "added p50", "added p99", "added first token", "added token delay", "RSS idle", "RSS loaded", "cold start ms"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for gateway in gateways[1:]:
        row = [gateway.name]
        row.append(cell(ratio(gateway, "cpu 1K")))
        row.append("%.0f %%" % (100 * said(gateway, "cpu ledger") / said(gateway, "cpu 1K")))
        row += [cell(ratio(gateway, what)) for what in ("cpu 7K", "cpu 64K", "cpu chunk")]
        row += ["%.2f" % statistics.median(ratio(gateway, f"rate c{n}")) for n in (1, 16, 64, 256)]
        row += [cell(ratio(gateway, what, base=1.0)) for what in ("p50", "p99", "first p50", "delay p50")]
        row += [f"{gateway.idle:.1f} MiB", f"{said(gateway, 'rss loaded'):.1f} MiB", f"{gateway.cold * 1000:.0f}"]
        print("| " + " | ".join(row) + " |")
    flat(gateways)
    if options.json:
        figures = {gateway.name: {"figures": gateway.figures, "idle_mib": gateway.idle, "cold_s": gateway.cold} for gateway in gateways}
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


main()
