"""Write the figures of the committed benchmark run into the pages that quote them: make docs.

The run is docs/benchmarks/bench.json, which make bench-full writes.
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "benchmarks" / "bench.json"
BEGIN, END = "<!-- figures of docs/benchmarks/bench.json, written by make docs -->", "<!-- end of figures -->"
SIDES = {
    "compiled": "**duckprop, the engine alone**",
    "engine compiled": "**duckprop, in SQL**",
    "PyTorch": "PyTorch, the engine alone",
    "ONNX Runtime": "ONNX Runtime, the engine alone",
    "scipy + numpy": "SciPy + NumPy",
    "MXNet, fused heads": "MXNet, batches, all heads as one layer",
    "MXNet, N heads": "MXNet, batches, a layer a category",
    "naive row UDF": "a row at a time through MXNet, in SQL",
}
QUESTIONS = ("all categories", "top 10", "one category", "20 categories")


def table(run: dict[str, Any]) -> str:
    """Return customers a second for every side and question, as Markdown, and what it was measured on."""
    rates = {
        (question["question"], side["side"]): side["rows_per_second"]
        for question in run["questions"]
        for side in question["sides"]
    }
    lines = [f"| customers a second | {' | '.join(QUESTIONS)} |", f"|---|{'---:|' * len(QUESTIONS)}"]
    for side, name in SIDES.items():
        found = [rates.get((question, side)) for question in QUESTIONS]
        cells = ["" if rate is None else f"{float(f'{rate:.3g}'):,.0f}" for rate in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    work, about = run["workload"], run["machine"]
    sizes = " → ".join(f"{size:,}" for size in work["layers"][:-1])
    shape = f"{work['nonzeros_per_row']:.0f} features a customer, {sizes} → {work['categories']:,} categories"
    return "\n".join(lines) + f"\n\n{shape}; {about['processor']}, {about['threads']} threads; {run['created'][:10]}."


def with_figures(page: str, figures: str) -> str:
    """Return a page with the text between its two marks replaced."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError("the page has no place for figures")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def main() -> None:
    """Write the README anew."""
    path = ROOT / "README.md"
    path.write_text(with_figures(path.read_text(), table(json.loads(RESULT.read_text()))))


if __name__ == "__main__":
    main()
