"""Turns public recorded outcomes into the tables that `crates/policy/tests/day.rs` plays a day on.

    python3 prepare.py FOLDER_WITH_JSONL_GZ OUT [ROWS]

Per line of a table: the request's id, the characters of its prompt, and what each model's answer was worth (0 to 1) and cost
(US dollars a call; tables that only know a flat price per million tokens are taken to need a thousand). No prompt is kept.
With ROWS only so many, evenly spaced.
"""

import csv
import gzip
import json
import pathlib
import sys

TABLES = {
    "paretobandit3": "PyPI package paretobandit 0.1.1 (Apache-2.0)",
    "zeroeval19": "WildEval/ZeroEval at 8c1485e (Apache-2.0; questions MIT)",
    "llmrouter9": "ulab-uiuc/LLMRouter at 4e7a796 (MIT)",
    "routellm_mmlu": "lm-sys/RouteLLM at 0b64fda (Apache-2.0; questions MIT)",
    "routellm_gsm8k": "lm-sys/RouteLLM at 0b64fda (Apache-2.0; questions MIT)",
}


def main(source, out, rows=None):
    source, out = pathlib.Path(source), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, licence in TABLES.items():
        flat = "flat" in json.loads((source / f"{name}.meta.json").read_text())["cost_unit"]
        table = [json.loads(line) for line in gzip.open(source / f"{name}.jsonl.gz", "rt")]
        if rows and len(table) > rows:
            table = [table[at * len(table) // rows] for at in range(rows)]
        models = sorted(table[0]["q"])
        with open(out / f"{name}.csv", "w", newline="") as file:
            file.write(f"# from {licence}\n")
            write = csv.writer(file, lineterminator="\n")
            write.writerow(["id", "chars", *(f"q:{m}" for m in models), *(f"c:{m}" for m in models)])
            for row in table:
                cost = lambda m: row["c"][m] / (1000 if flat else 1)
                line = [row["id"], len(row["prompt"]), *(f"{row['q'][m]:.4g}" for m in models)]
                write.writerow([*line, *(f"{cost(m):.4g}" for m in models)])


main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
