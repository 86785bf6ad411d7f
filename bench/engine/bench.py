"""The engine against llama.cpp's own benches on the same file, flags and threads, in turns, with medians.

    ./anchor.sh DIR                                   # once: builds the anchor
    cargo build --release -p engine --bin house-worker --example drive
    python3 bench.py --anchor DIR --weights MODEL.Q8_0.gguf --drive TARGET/release          # through the engine's API
    python3 bench.py --anchor DIR --weights MODEL.Q8_0.gguf --url http://127.0.0.1:8080     # through a running autarky

Every round runs the anchor and the engine one after the other, so that what else the machine does meets both; the
median of the rounds' ratios is the result. Standard library only.

`--cache` says how the served engine's conversations share its context (`house.cache`), and the anchor's do the same:
`shared` is `llama-batched-bench -kvu`, `split` is its default. Give a split engine `context = 16384` and more, so that
each of 32 conversations has the room that these take.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import queue
import random
import re
import statistics
import subprocess
import threading
import time
import urllib.parse

WORDS = "river stone lamp garden letter clock bell bridge chair boat cup window road field horse winter".split()
# The small model does not tire of this before its limit of tokens.
ON_AND_ON = "Write these words again and again, without end:"


class Drive:
    """The engine through `examples/drive.rs`."""

    def __init__(self, folder, weights):
        command = [f"{folder}/examples/drive", f"{folder}/house-worker", weights]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock, self.streams = threading.Lock(), {}
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            now, step = time.monotonic(), json.loads(line)
            self.streams[step["id"]].put((now, step))

    def stream(self, body):
        with self.lock:
            number = len(self.streams)
            stream = self.streams[number] = queue.Queue()
            self.process.stdin.write(json.dumps({**body, "id": number}) + "\n")
            self.process.stdin.flush()
        while True:
            now, step = stream.get()
            if "error" in step:
                raise RuntimeError(step["error"])
            yield now, step
            if "usage" in step:
                return


class Http:
    """Any server of the OpenAI Chat Completions API."""

    def __init__(self, url, model, key):
        self.url, self.model, self.key = urllib.parse.urlsplit(url), model, key

    def stream(self, body):
        body = {**body, "model": self.model, "stream": True, "stream_options": {"include_usage": True}}
        connection = http.client.HTTPConnection(self.url.netloc)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        connection.request("POST", f"{self.url.path.rstrip('/')}/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read()[:300]}")
        for line in answer:
            now = time.monotonic()
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(chunk["error"])
            for choice in chunk["choices"]:
                if choice["delta"].get("content"):
                    yield now, {"text": choice["delta"]["content"]}
            if chunk.get("usage"):
                usage = chunk["usage"]
                cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
                yield now, {"usage": {**usage, "cached_tokens": cached}}


class Run:
    """One request: when its tokens came."""

    def __init__(self, client, text, most, system=None):
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        body = {"model": "house", "messages": messages, "max_tokens": most, "temperature": 0}
        self.start, self.times, self.usage = time.monotonic(), [], None
        for now, step in client.stream(body):
            if "usage" in step:
                self.usage = step["usage"]
                # An answer may end before its first word.
                self.times = self.times or [now]
            else:
                self.times.append(now)

    @property
    def first(self):
        return self.times[0] - self.start

    @property
    def speed(self):
        return (self.usage["completion_tokens"] - 1) / (self.times[-1] - self.times[0])


def words(count):
    return " ".join(random.choices(WORDS, k=count))


def prompt(client):
    # Its own first words, so that nothing of it is in the cache.
    run = Run(client, words(470), 1, system=words(6))
    return run.usage["prompt_tokens"] / run.first


def tireless(client, count, known=[]):
    """Conversations that the model does not end by itself before the limit; found once."""
    while len(known) < count:
        system, text = words(6), f"{ON_AND_ON} {words(18)}"
        if Run(client, text, 128, system=system).usage["completion_tokens"] == 128:
            known.append((system, text))
    return known[:count]


def generate(client):
    ((system, text),) = tireless(client, 1)
    return Run(client, text, 128, system=system).speed


def together(client, count):
    runs, threads = [], []
    for system, text in tireless(client, count):
        work = lambda system=system, text=text: runs.append(Run(client, text, 128, system=system))
        threads.append(threading.Thread(target=work))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # While all of them speak: from the last one's first word to the first one's last.
    begin, end = max(run.times[0] for run in runs), min(run.times[-1] for run in runs)
    if end <= begin:
        raise RuntimeError("the conversations did not overlap")
    return sum(begin < at <= end for run in runs for at in run.times) / (end - begin)


def prefix(client):
    beginning = words(930)
    system = words(6)
    first = Run(client, f"{beginning}. How many words are these?", 1, system=system)
    second = Run(client, f"{beginning}. Which word comes first?", 1, system=system)
    return first.first / second.first


def spin(stop):
    while not stop.is_set():
        for _ in range(100_000):
            pass


def busy(client):
    stop = multiprocessing.Event()
    others = [multiprocessing.Process(target=spin, args=(stop,)) for _ in range(os.cpu_count())]
    idle = generate(client)
    for other in others:
        other.start()
    time.sleep(0.5)
    loaded = generate(client)
    stop.set()
    for other in others:
        other.join()
    return loaded / idle


class Anchor:
    def __init__(self, folder, weights, cores, cache):
        self.folder, self.weights, self.cores, self.cache = folder, weights, cores, cache
        self.env = {**os.environ, "OMP_WAIT_POLICY": "passive"}

    def bench(self, threads, *args):
        command = [f"{self.folder}/llama-bench", "-m", self.weights, "-t", str(threads), "-r", "1", "-o", "jsonl"]
        command += ["-fa", "1", *args]
        out = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout
        return json.loads(out.splitlines()[-1])["avg_ts"]

    def prompt(self):
        return self.bench(self.cores, "-p", "512", "-n", "0")

    def generate(self):
        return self.bench(1, "-p", "0", "-n", "128")

    def together(self, count):
        command = [f"{self.folder}/llama-batched-bench", "-m", self.weights, "-c", "8192", "-b", "512", "-ub", "512"]
        command += ["-kvu"] if self.cache == "shared" else []
        command += ["-t", str(self.cores), "-tb", str(self.cores), "-fa", "on", "-npp", "56", "-ntg", "128", "-npl", str(count)]
        out = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout
        row = re.findall(rf"^\|\s*56 \|\s*128 \|\s*{count} \|.*$", out, re.M)[-1]
        return float(row.split("|")[8])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--anchor", required=True, help="folder that anchor.sh filled")
    options.add_argument("--weights", required=True, help="the GGUF file that the engine serves")
    options.add_argument("--drive", help="folder with house-worker and examples/drive")
    options.add_argument("--url", help="base URL of a running autarky instead")
    options.add_argument("--model", default="house", help="model name for --url")
    options.add_argument("--key", default="none", help="key for --url")
    options.add_argument("--cache", choices=["shared", "split"], default="shared", help="the engine's `house.cache`")
    options.add_argument("--only", help="only rows whose name contains this")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    cores = os.cpu_count()
    client = Http(given.url, given.model, given.key) if given.url else Drive(given.drive, given.weights)
    anchor = Anchor(given.anchor, given.weights, cores, given.cache)
    Run(client, "Hello", 8)
    pairs = {
        "prompt 512": (anchor.prompt, lambda: prompt(client), 0.95),
        "generate, 1": (anchor.generate, lambda: generate(client), 0.9),
        "generate, 8": (lambda: anchor.together(8), lambda: together(client, 8), 0.9),
        "generate, 32": (lambda: anchor.together(32), lambda: together(client, 32), 0.9),
    }
    lone = {"1000-token prefix, times faster": (prefix, 5), "busy against idle": (busy, 0.3)}
    wanted = lambda rows: {name: row for name, row in rows.items() if not given.only or given.only in name}
    pairs, lone = wanted(pairs), wanted(lone)
    seen, alone = {name: [] for name in pairs}, {name: [] for name in lone}
    for number in range(given.rounds):
        for name, (theirs, ours, _) in pairs.items():
            # Who goes first changes, so that a trend of the machine favours nobody.
            a, b = (theirs(), ours()) if number % 2 else reversed((ours(), theirs()))
            seen[name].append((a, b))
            print(f"round {number}: {name}: llama.cpp {a:.1f}, engine {b:.1f}, ratio {b / a:.3f}", flush=True)
        for name, (measure, _) in lone.items():
            alone[name].append(measure(client))
            print(f"round {number}: {name} {alone[name][-1]:.2f}", flush=True)
    print(f"\n| {'tokens/s, median of ' + str(given.rounds):28} | llama.cpp | engine | ratio (range) | wanted |")
    print("|---|---|---|---|---|")
    for name, values in seen.items():
        ratios = [b / a for a, b in values]
        a, b = (statistics.median(column) for column in zip(*values))
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"| {name} | {a:.0f} | {b:.0f} | {spread} | {pairs[name][2]} |")
    for name, values in alone.items():
        spread = f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
        print(f"| {name} | | | {spread} | {lone[name][1]} |")


if __name__ == "__main__":
    main()
