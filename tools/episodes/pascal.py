"""PASCAL-5i: 1000 episodes per fold; queries in the order of the fold's list, supports are drawn."""

EPISODES = 1000
# Outlines and ambiguous regions. In the other benchmarks, 255 is background.
IGNORE = 255
NAMES = (
    "aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,person,potted plant,sheep,sofa,train,"
    "tv/monitor"
).split(",")


def make(writer, draws, fold, shots):
    from common import others

    lines = (writer.root / f"VOC2012/splits/val/fold{fold}.txt").read_text().split()
    listed = [(line.split("__")[0], int(line.split("__")[1])) for line in lines]
    for i in range(EPISODES):
        query, number = listed[i % len(listed)]
        supports = others(draws, [name for name, n in listed if n == number], query, shots)

        def example(name):
            return writer.example(f"VOC2012/JPEGImages/{name}.jpg", f"VOC2012/SegmentationClassAug/{name}.png", number)

        writer.add(NAMES[number - 1], [example(s) for s in supports], example(query))
