"""Confirms the recorded day of `crates/policy/tests/day.rs` with nothing of autarky's but the choices that it wrote.

    python3 confirm.py FOLDER_WITH_JSONL_GZ CHOICES.csv

Reads worth and cost of every answer from the public tables themselves. Checks that all preferences met the same requests, at
least 100,000 of them; that `cost` costs no more than the cheapest fixed model that meets the floor in hindsight, product by
product; that each preference is the best on its own measure; that the floor is met.
"""

import collections
import csv
import gzip
import json
import pathlib
import sys

# product: table, accepted loss of quality
PRODUCTS = {
    "assistant": ("paretobandit3", 0.02),
    "tutor": ("zeroeval19", 0.11),
    "search": ("llmrouter9", 0.15),
    "exam": ("routellm_mmlu", 0.05),
    "sums": ("routellm_gsm8k", 0.30),
}


def main(source, choices):
    rows, flat, known = {}, {}, {}
    for product, (table, _) in PRODUCTS.items():
        path = pathlib.Path(source) / table
        lines = [json.loads(line) for line in gzip.open(f"{path}.jsonl.gz", "rt")]
        flat[product] = 1000 if "flat" in json.loads(open(f"{path}.meta.json").read())["cost_unit"] else 1
        rows[product] = {line["id"]: line for line in lines[1::2]}
        before = lines[0::2]
        mean = {m: sum(line["q"][m] for line in before) / len(before) for m in before[0]["q"]}
        known[product] = max(mean, key=mean.get)

    asked = collections.defaultdict(list)
    sums = collections.defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for one in csv.DictReader(open(choices)):
        asked[one["prefer"]].append((one["number"], one["millis"], one["product"], one["id"]))
        row = rows[one["product"]][one["id"]]
        for key in [(one["prefer"], one["product"]), (one["prefer"], "all")]:
            sum_ = sums[key]
            sum_[0] += 1
            sum_[1] += row["c"][one["model"]] / flat[one["product"]]
            sum_[2] += row["q"][one["model"]]
            sum_[3] += int(one["first_token_us"]) / 1e6
    requests = asked["cost"]
    assert requests == asked["quality"] == asked["latency"], "the preferences met different requests"
    assert len(requests) >= 100_000, len(requests)

    for product, (_, margin) in PRODUCTS.items():
        mine = [rows[product][id] for _, _, of, id in requests if of == product]
        worth = lambda m: sum(row["q"][m] for row in mine) / len(mine)
        costs = lambda m: sum(row["c"][m] for row in mine) / flat[product]
        floor = worth(known[product]) - margin
        fixed = min((m for m in mine[0]["q"] if worth(m) >= floor), key=costs)
        n, dollars, quality, _ = sums["cost", product]
        print(
            f"{product:<10} {n:>6} requests; floor {floor:.4f}; fixed at {fixed}: {costs(fixed):.4f} USD, {worth(fixed):.4f}; "
            f"prefer cost: {dollars:.4f} USD, {quality / n:.4f}"
        )
        assert dollars <= costs(fixed) * (1 + 1e-9), product
        for prefer in ("cost", "quality", "latency"):
            n, _, quality, _ = sums[prefer, product]
            assert quality / n >= floor, (prefer, product)

    measures = {"cost": (1, min), "quality": (2, max), "latency": (3, min)}
    for prefer, (at, best) in measures.items():
        values = {other: sums[other, "all"][at] for other in measures}
        print(f"{prefer}: " + ", ".join(f"{other} {value:.4f}" for other, value in values.items()))
        assert best(values, key=values.get) == prefer and len(set(values.values())) == 3, values
    print(f"confirmed on {len(requests)} requests")


main(sys.argv[1], sys.argv[2])
