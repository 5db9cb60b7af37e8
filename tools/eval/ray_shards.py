"""Distributes `diffews-wgpu eval` over the machines of a Ray cluster: one shard per task.

    pip install ray
    python ray_shards.py --shards 8 --output DIR -- --episodes e.json --root DATA --weights ...

Arguments after `--` go to every shard. DIR must be on storage that all machines share. A task that dies is
restarted with --resume and loses no episode.
"""

import argparse
import subprocess
import sys

import ray

SOME_FAILED = 6  # broken pictures: the shard is complete, and `eval merge` reports them


@ray.remote(max_retries=3)
def shard(program, index, count, output, arguments):
    command = [program, "eval", "--shard", f"{index}/{count}", "--output", output, "--resume", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, SOME_FAILED):
        raise RuntimeError(f"shard {index}/{count} ended with code {done.returncode}: {done.stderr}")
    return index


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="diffews-wgpu")
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of one task, as Ray counts them")
    parser.add_argument("--workers", type=int, help="start Ray on this machine only, with this many workers")
    parser.add_argument("arguments", nargs="+")
    args = parser.parse_args()
    ray.init(num_cpus=args.workers, include_dashboard=False, log_to_driver=False)
    task = shard.options(num_cpus=1, num_gpus=args.gpus)
    waiting = [task.remote(args.program, i, args.shards, args.output, args.arguments) for i in range(args.shards)]
    while waiting:
        (done,), waiting = ray.wait(waiting)
        print(f"shard {ray.get(done)} of {args.shards} is done", file=sys.stderr)
    merge = [args.program, "eval", "merge", args.output, "--output", args.output]
    sys.exit(subprocess.run(merge).returncode)


if __name__ == "__main__":
    main()
