"""COCO-20i: 1000 episodes per fold; class, query and supports are drawn."""

import pickle

EPISODES = 1000
FOLDS = 4
NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird,cat,dog,"
    "horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,"
    "orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")


def make(writer, draws, fold, shots):
    from common import others

    with open(writer.root / f"COCO2014/splits/val/fold{fold}.pkl", "rb") as file:
        images = pickle.load(file)
    classes = [fold + FOLDS * v for v in range(len(NAMES) // FOLDS)]
    for _ in range(EPISODES):
        number = draws.choose(classes)
        query = draws.choose(images[number])
        supports = others(draws, images[number], query, shots)

        def example(name):
            # Annotations store the class number plus one.
            return writer.example(f"COCO2014/{name}", f"COCO2014/annotations/{name[: name.index('.jpg')]}.png", number + 1)

        writer.add(NAMES[number], [example(s) for s in supports], example(query))
