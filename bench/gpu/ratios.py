"""A table of what dlent did beside its peers on one GPU, and beside the card's own limits, from the lines of JSON that
device_bench, torch_peer.py, load.sql and load_torch.py print. Usage: ratios.py CARD FILE..."""

import json
import sys

from workloads import WORKLOADS, peaks_of, rows_per_second_at_most


def read(paths):
    """{(what, precision): {who: rows a second}}; the last line of a benchmark that was stopped may be cut."""
    rates = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    it = json.loads(line)
                except ValueError:
                    continue
                rate = it["rows_per_second"] if "rows_per_second" in it else it["rows"] / it["seconds"]
                rates.setdefault((it["what"], it["precision"]), {})[it["who"].split()[-1]] = rate
    return rates


def beside(rate, other):
    return f"{other / 1e6:10.3f} M  {rate / other:6.2f}"


def main():
    card, rates = sys.argv[1], read(sys.argv[2:])
    peers = [who for who in ("eager", "graph", "compile") if any(who in of for of in rates.values())]
    shapes = {name: (members, hidden, batch) for name, members, hidden, batch, _ in WORKLOADS}
    print("rows/s, and dlent's over a peer's; the roofline is the card's, of operations and memory"
          + ("" if peaks_of(card) else " (unknown card)"))
    print(f"{'':24} {'':5} {'dlent':>12}" + "".join(f"{peer:>12}   ratio" for peer in peers) + f"{'roofline':>12}   share")
    for (what, precision), of in rates.items():
        if "dlent" not in of:
            continue
        line = f"{what:24} {precision:5} {of['dlent'] / 1e6:10.3f} M"
        line += "".join(beside(of["dlent"], of[peer]) if peer in of else f"{'':12}{'':8}" for peer in peers)
        most = what in shapes and rows_per_second_at_most(card, *shapes[what], precision)
        print((line + (beside(of["dlent"], most) if most else "")).rstrip())


main()
