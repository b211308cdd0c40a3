"""Measures the steps of transformer shapes on NVIDIA GPUs: what pkg/perfmodel's numbers are held against.

    python3 steps.py all --out DIR [--seconds 900]      every section, on two GPUs of one host where there are two
    python3 steps.py model NAME --out DIR [--fp8] [--skew S] [--tp 2] [--grid short]
    python3 steps.py tables --out DIR                   matrix products and attention, kernel by kernel
    python3 steps.py transfer --out DIR                 copies between two GPUs

NAME is a key of engine.SHAPES. It needs PyTorch with CUDA and Triton, and nothing from a network: weights and data are random.
Each section first holds its decode path against its prefill path, then writes its JSON file after every row, so that a run
cut short keeps what it has. Rows are medians in ms of CUDA-graph replays, back to back: a steady, power-limited load. The
form is that of the step grids that `pdctl fit --grid` reads. The GPU's settings are left as they are.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import torch
import torch.distributed as dist

import experts
import tables
from clock import Clock
from counters import Counters
from engine import SHAPES, Engine, attention_ways

PROMPTS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256)
CONTEXTS = (512, 1024, 2048, 4096, 8192)
MOST_CACHED = 270_000  # tokens of a decode step
COUNTED_PROMPTS = (128, 512, 2048, 8192)
COUNTED_STEPS = ((1, 512), (16, 512), (16, 4096), (64, 1024), (256, 1024))


def describe(**more):
    gpu = torch.cuda.get_device_properties(0)
    return dict(more, gpu=gpu.name, torch=torch.__version__, cuda=torch.version.cuda, nccl=".".join(map(str, torch.cuda.nccl.version())),
                triton=experts.triton.__version__, date=datetime.date.today().isoformat(),
                method="CUDA graphs replayed back to back, medians of event times in ms; cuBLAS products, Triton decode attention (context split), fused "
                       "elementwise kernels; random weights and data; no scheduler time")


class File:
    def __init__(self, out, name, head):
        self.path, self.data = pathlib.Path(out) / (name + ".json"), head

    def save(self, key, row):
        self.data.setdefault(key, []).append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
        self.path.write_text(json.dumps(self.data))


def fastest_attention(engine, clock, agree):
    """The way that prefills 2048 tokens of one layer fastest; ways that this machine lacks drop out."""
    q, k = (torch.randn((1, heads, 2048, engine.d), dtype=torch.bfloat16, device="cuda") for heads in (engine.nq, engine.nk))
    found = {}
    for name, way in attention_ways().items():
        for pad in (False, True) if engine.mla else (False,):
            v = k[..., :engine.s["dv"]].contiguous() if engine.mla and not pad else k
            try:
                found[name + ("-pad" if pad else "")] = clock.time(lambda: way(q, k, v), 0.02)["ms"], way, pad
            except Exception as e:
                torch.cuda.synchronize()
                print(name, pad, "drops out:", str(e)[:150], flush=True)
    names = sorted(found, key=lambda n: found[n][0])
    print({n: round(found[n][0], 3) for n in names}, flush=True)
    name = agree(names[0])
    _, engine.attend, engine.pad_values = found[name]
    return name


def fastest_tile(engine, clock, n):
    """The tile whose grouped products are fastest for n rows of one layer."""
    w = engine.layers[-1]
    x = torch.randn((n, engine.h), dtype=torch.bfloat16, device="cuda")
    counts = engine.counts[0]

    def run(tile):
        def step():
            counts.zero_()
            experts.mixture(x, torch.nn.functional.linear(x, w["router"]), engine.noise, engine.law[-1], 0, counts, w["w1"], w["w2"], engine.s["k"], tile, experts_act)
        return step
    found = {}
    for tile in experts.TILES:
        if (n >= 1024 and tile[0] < 64) or (n <= 64 and tile[0] > 32):
            continue
        try:
            found[tile] = clock.time(run(tile), 0.02)["ms"]
        except Exception as e:
            print(tile, "drops out:", str(e)[:150], flush=True)
    return min(found, key=found.get)


def experts_act(x, dtype):
    import kernels
    return kernels.silu_mul(x, dtype)


def check_experts():
    """The grouped product against plain float32, at every tile."""
    torch.manual_seed(1)
    x = torch.randn((37, 256), device="cuda").bfloat16()
    w1, w2 = (torch.randn(s, device="cuda").bfloat16() * 0.05 for s in ((16, 256, 256), (16, 256, 128)))
    logits = torch.randn((37, 16), device="cuda").bfloat16()
    noise, law = experts.routing_noise(64, 16, "cuda"), experts.routing_law(1, 16, 1.0, "cuda")[0]
    want = experts.reference(x, logits, noise, law, 3, w1, w2, 4)
    for tile in list(experts.TILES):
        counts = torch.zeros(16, dtype=torch.int32, device="cuda")
        try:
            got = experts.mixture(x, logits, noise, law, 3, counts, w1, w2, 4, tile, experts_act)
        except Exception as e:
            print("tile", tile, "drops out:", str(e)[:200], flush=True)
            experts.TILES.remove(tile)
            continue
        off = ((got.float() - want).norm() / want.norm()).item()
        print("tile", tile, "off by", off, flush=True)
        if not off < 2e-2:
            experts.TILES.remove(tile)
    assert experts.TILES, "no tile multiplies right"


def model(a):
    rank = a.rank
    torch.cuda.set_device(rank)
    agree, agree_name, reduce = (lambda v: v), (lambda v: v), None
    if a.tp > 1:
        dist.init_process_group("nccl", init_method="file://" + a.meet, rank=rank, world_size=a.tp, device_id=torch.device("cuda", rank))

        def agree_name(v):
            box = [v]
            dist.broadcast_object_list(box, src=0)
            return box[0]
        agree = agree_name

        def reduce(x):
            dist.all_reduce(x)
            return x
    clock = Clock(Counters(int(os.environ.get("CUDA_VISIBLE_DEVICES", "0,1").split(",")[rank])), agree)
    shape = SHAPES[a.name]
    kind = ("-fp8" if a.fp8 else "") + (f"-skew{a.skew:g}" if a.skew else "")
    out = File(a.out if rank == 0 else tempfile.mkdtemp(), f"steps-{a.name}{kind}-tp{a.tp}", describe(
        model=a.name, tp=a.tp, shape=shape, weights="fp8, static scales" if a.fp8 else "bf16", routing_zipf_exponent=a.skew))
    if "E" in shape:
        check_experts()
    small = Engine(shape, layers=2, tp=a.tp, fp8=a.fp8, reduce=reduce, cache_tokens=4096, skew=a.skew)
    small.tile = experts.TILES[0]
    out.data["attention"] = fastest_attention(small, clock, agree_name)
    off = small.agrees()
    print(a.name, "decode against prefill:", off, flush=True)
    out.data["decode_against_prefill"] = off
    assert off < 0.2, "the decode path does not agree with the prefill path"
    del small
    torch.cuda.empty_cache()

    if a.tp > 1:
        collectives(clock, out, rank)
    if rank == 0:
        out.data["ceilings"] = tables.ceilings(clock) if a.tp == 1 else {}
        torch.cuda.empty_cache()
    prompts, grid = PROMPTS, [(b, c) for c in CONTEXTS for b in BATCHES if b * c <= MOST_CACHED]
    if a.grid == "short":
        prompts, grid = (128, 512, 2048, 8192), [(b, c) for b, c in grid if c in (512, 4096) and b in (1, 16, 64, 256)]
    grid.sort(key=lambda p: (p not in COUNTED_STEPS, p[0] not in (1, 16, 64, 256)))
    cached = max([b * c for b, c in grid] + [16384])
    engine = Engine(shape, tp=a.tp, fp8=a.fp8, reduce=reduce, cache_tokens=cached, skew=a.skew)
    engine.attend, engine.pad_values = attention_of(out.data["attention"])
    print(a.name, "built,", torch.cuda.memory_allocated() // 2 ** 20, "MiB", flush=True)

    tiles = {}

    def one(n, prompt, context, seconds, counted):
        if engine.moe:
            engine.tile = tiles.setdefault(n, None) or fastest_tile(engine, clock, n)
            tiles[n] = engine.tile
        row = clock.time(lambda: engine.step(n, prompt, context), seconds, counted)
        if engine.moe:
            touched = (engine.counts[shape.get("dense", 0):] > 0).float().mean().item()
            row |= dict(experts_touched=touched, busiest=engine.counts.max(dim=1).values.float().mean().item(), tile=list(engine.tile))
        torch.cuda.empty_cache()
        return row
    for n in sorted(prompts, key=lambda n: n not in COUNTED_PROMPTS):
        out.save("prefill", dict(tokens=n) | one(n, True, 0, 1.0, n in COUNTED_PROMPTS))
    for b, c in grid:
        out.save("decode", dict(batch=b, context=c) | one(b, False, c, 0.3, (b, c) in COUNTED_STEPS))
    if a.tp > 1:
        shared_memory(clock, out, rank, engine)
    print(a.name, kind, "done", flush=True)


def attention_of(name):
    return attention_ways()[name.removesuffix("-pad")], name.endswith("-pad")


def collectives(clock, out, rank):
    """NCCL's all-reduce inside a graph, and its send and receive, by bytes."""
    for size in [1 << i for i in range(11, 29)]:
        x = torch.zeros(size // 2, dtype=torch.bfloat16, device="cuda")
        many = 32 if size <= 1 << 24 else 4
        row = clock.time(lambda: [dist.all_reduce(x) for _ in range(many)], 0.1, inner=many)
        out.save("all_reduce", dict(bytes=size, way="nccl", ms=row["ms"], min=row["min"]))
    for size in [1 << i for i in range(16, 31, 2)]:
        x = torch.zeros(size, dtype=torch.uint8, device="cuda")
        row = clock.time(lambda: dist.send(x, 1) if rank == 0 else dist.recv(x, 0), 0.1)
        out.save("send", dict(bytes=size, way="nccl", ms=row["ms"], min=row["min"], gb_per_s=size / row["ms"] / 1e6))


def shared_memory(clock, out, rank, engine):
    """All-reduce by reading the peer's memory, as engines do for small vectors: alone, and in the decode steps."""
    import torch.distributed._symmetric_memory as symm
    group = dist.group.WORLD.group_name
    buffers = {}

    def buffer(numel):
        if numel not in buffers:
            buffers[numel] = symm.empty(numel, dtype=torch.bfloat16, device=torch.device("cuda", rank)).zero_()
            symm.rendezvous(buffers[numel], group=group)
        return buffers[numel]

    def once(x):
        return torch.ops.symm_mem.one_shot_all_reduce(x, "sum", group)

    def twice(x):
        return torch.ops.symm_mem.two_shot_all_reduce_(x, "sum", group)
    for size in [1 << i for i in range(11, 25)]:
        x = buffer(size // 2)
        for name, way in (("one-shot", once), ("two-shot", twice)):
            row = clock.time(lambda: [way(x) for _ in range(32)], 0.05, inner=32)
            out.save("all_reduce", dict(bytes=size, way=name, ms=row["ms"], min=row["min"]))

    def reduce(x):
        y = buffer(x.numel())
        y.copy_(x.view(-1))
        return (once(y) if x.numel() <= 1 << 19 else twice(y)).view(x.shape)
    engine.reduce = reduce
    for b, c in ((1, 512), (8, 512), (16, 512), (16, 4096), (64, 512), (64, 1024), (128, 512), (256, 512), (256, 1024)):
        out.save("decode_peer_memory", dict(batch=b, context=c) | clock.time(lambda: engine.step(b, False, c), 0.3))


def table_section(a):
    clock = Clock(Counters(0))
    out = File(a.out, "kernels", describe())
    tables.caches(clock, lambda row: out.save("caches", row))
    tables.attention(clock, lambda row: out.save("attention", row))
    tables.products(clock, lambda row: out.save("products", row))
    print("tables done", flush=True)


def transfer_section(a):
    out = File(a.out, "transfers", describe())
    tables.transfers(lambda row: out.save("transfers", row))
    print("transfers done", flush=True)


def everything(a):
    start = time.monotonic()
    left = lambda: a.seconds - (time.monotonic() - start)

    def run(gpus, most, *argv, ranks=1):
        if left() < 20:
            return print("no time left for", *argv, flush=True)
        env = dict(os.environ, CUDA_VISIBLE_DEVICES=gpus, PYTHONUNBUFFERED="1")
        begun = time.monotonic()
        most = min(most, left())
        ps = [subprocess.Popen([sys.executable, __file__, *argv, "--out", a.out, "--rank", str(r)], env=env) for r in range(ranks)]
        # A rank that fails leaves the other waiting for it.
        while any(p.poll() is None for p in ps) and not any(p.poll() for p in ps) and time.monotonic() - begun < most:
            time.sleep(0.2)
        codes = [p.poll() for p in ps]
        for p in ps:
            p.kill()
        print("==", *argv, "ends:", codes, f"after {time.monotonic() - begun:.0f} s", flush=True)

    def queue(gpu, *jobs):
        for most, *argv in jobs:
            run(gpu, most, *argv)

    def together(*threads):
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    two = torch.cuda.device_count() > 1
    if two:
        for name in ("qwen3-32b", "qwen3-8b", "qwen3-30b-a3b", "llama-3.1-70b"):
            run("0,1", 200, "model", name, "--tp", "2", "--meet", os.path.join(tempfile.mkdtemp(), "meet"), ranks=2)
    first = [(150, "model", "qwen3-8b"), (150, "model", "mixtral-8x7b"), (100, "model", "qwen3-32b", "--grid", "short"), (90, "tables"), (90, "model", "qwen3-32b", "--fp8", "--grid", "short")]
    second = [(180, "model", "qwen3-30b-a3b"), (150, "model", "qwen3-14b"), (120, "model", "deepseek-v2-lite"), (90, "model", "qwen3-30b-a3b", "--skew", "1", "--grid", "short")]
    if two:
        together(threading.Thread(target=queue, args=("0", *first)), threading.Thread(target=queue, args=("1", *second)))
        run("0,1", 40, "transfer")
    else:
        queue("0", *first, *second)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("section", choices=["all", "model", "tables", "transfer"])
    p.add_argument("name", nargs="?", choices=sorted(SHAPES))
    p.add_argument("--out", required=True)
    p.add_argument("--seconds", type=float, default=900)
    p.add_argument("--fp8", action="store_true")
    p.add_argument("--skew", type=float, default=0.0)
    p.add_argument("--tp", type=int, default=1)
    p.add_argument("--rank", type=int, default=0)
    p.add_argument("--meet")
    p.add_argument("--grid", choices=["whole", "short"], default="whole")
    args = p.parse_args()
    dict(all=everything, model=model, tables=table_section, transfer=transfer_section)[args.section](args)
