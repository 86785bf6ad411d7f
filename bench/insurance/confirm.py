"""Confirms `autarky covers replay` on recorded outcomes, with nothing of autarky's but its JSON report.

    autarky covers replay --outcomes FILE --product P --lose maker:openai --format json | python3 confirm.py FILE

Computes both means, the share of requests whose class has a replacement shown to be non-inferior (empirical Bernstein
sequence, from the paper; deployments are called like their models or a part of that), and how many classes a fixed-sample bound would have passed; fails where the report differs.
"""

import collections
import gzip
import json
import math
import sys


def lower(differences, alpha):
    """The predictable plug-in empirical Bernstein bound of Waudby-Smith and Ramdas, on [-1, 1]."""
    xs = [(d + 1) / 2 for d in differences]
    log, best = math.log(1 / alpha), 0.0
    for_mean, for_variance = [0.5], [0.25]
    weights = weighted = penalty = 0.0
    for i, x in enumerate(xs, start=1):
        mean, variance = sum(for_mean) / i, sum(for_variance) / i
        bet = min(math.sqrt(2 * log / (variance * i * math.log(1 + i))), 0.5)
        weights, weighted = weights + bet, weighted + bet * x
        penalty += 4 * (x - mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        best = max(best, (weighted - (log + penalty)) / weights)
        for_mean.append(x)
        for_variance.append((x - sum(for_mean) / (i + 1)) ** 2)
    return 2 * best - 1


def main(path):
    report = json.load(sys.stdin)
    opener = gzip.open if path.endswith(".gz") else open
    rows = [json.loads(line) for line in opener(path, "rt")]
    (pair,) = {(one["from"], one["to"]) for one in report["classes"]}
    models = {model for row in rows for model in row["q"]}
    name = lambda deployment: next(model for model in models if deployment in model or model == deployment)
    old, new = map(name, pair)
    mean = lambda model: sum(row["q"][model] for row in rows) / len(rows)
    classes = collections.defaultdict(list)
    for row in rows:
        classes[row["task"]].append(row["q"][new] - row["q"][old])
    alpha, margin = report["classes"][0]["proof"]["alpha"], report["margin"]
    proven = {task for task, ds in classes.items() if lower(ds, alpha) >= -margin}
    share = sum(len(classes[task]) for task in proven) / len(rows)

    def fixed(ds):
        m = sum(ds) / len(ds)
        return m - 1.645 * math.sqrt(sum((d - m) ** 2 for d in ds) / max(len(ds) - 1, 1) / len(ds))

    by_fixed = [task for task, ds in classes.items() if fixed(ds) >= -margin]
    pairs = [
        ("quality today", mean(old), report["before"]["value"]),
        ("quality then", mean(new), report["after"]["value"]),
        ("shown to be no worse", share, report["covered"]),
        ("configured", 1.0, report["configured"]),
    ]
    for what, ours, theirs in pairs:
        print(f"{what}: {ours:.4f} here, {theirs:.4f} in the report")
        assert abs(ours - theirs) < 1e-9, what
    theirs = {one["class"] for one in report["classes"] if one["verdict"] == "covered"}
    assert theirs == proven, theirs ^ proven
    print(f"n = {len(rows)}; proven: {sorted(proven)}; a fixed-sample bound would pass {len(by_fixed)} of {len(classes)}")


main(sys.argv[1])
