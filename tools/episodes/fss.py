"""FSS-1000: each picture of every test category is a query once; the supports' numbers are drawn."""

PICTURES = range(1, 11)


def make(writer, draws, fold, shots):
    from common import others

    categories = sorted((writer.root / "FSS-1000/splits/test.txt").read_text().split("\n")[:-1])
    for category in categories:
        folder = f"FSS-1000/data/{category}"
        # Sorted as text: 1, 10, 2, ...
        names = sorted(p.name for p in (writer.root / folder).iterdir() if p.name.split(".")[1:] == ["jpg"])
        for name in names:
            query = name.split(".")[0]
            numbers = [str(n) for n in PICTURES]
            supports = others(draws, numbers, query, shots)
            pictures = [writer.example(f"{folder}/{n}.jpg", f"{folder}/{n}.png") for n in [*supports, query]]
            writer.add(category, pictures[:-1], pictures[-1])
