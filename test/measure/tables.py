"""Kernels one by one: what share of the peaks matrix products and decode attention reach by size and type, and how fast
GPUs of one host exchange data."""

import torch
import torch.nn.functional as F

import kernels
from engine import FP8, attention_ways

# (outputs, inputs) of matrices as tensor parallelism of 1 to 8 cuts them: QKV, output, gate and up, down, head.
MATRICES = sorted({(n, k) for tp in (1, 2, 4, 8) for h, q, kv, ff, v in (
    (4096, 4096, 1024, 12288, 151936), (5120, 8192, 1024, 25600, 151936), (8192, 8192, 1024, 28672, 128256))
    for n, k in (((q + 2 * kv) // tp, h), (h, q // tp), (2 * ff // tp, h), (h, ff // tp), (v // tp, h))}, key=lambda s: s[0] * s[1])
ROWS = (1, 16, 64, 256, 2048)


def products(clock, save, device="cuda"):
    """Products of m rows with each matrix, over copies that exceed the L2 cache several times."""
    for kind in ("bf16", "fp8", "int4"):
        for n, k in MATRICES if kind == "bf16" else MATRICES[::3]:
            for m in ROWS:
                try:
                    save(product(clock, kind, m, n, k, device))
                except (RuntimeError, AttributeError, TypeError) as e:
                    save(dict(type=kind, rows=m, outputs=n, inputs=k, failed=str(e)[:200]))
                    break
        torch.cuda.empty_cache()


def product(clock, kind, m, n, k, device):
    bytes_each = n * k * {"bf16": 2, "fp8": 1, "int4": 0.5}[kind]
    copies = max(2, min(64, int(4e8 // bytes_each)))
    x = torch.randn((m, k), dtype=torch.bfloat16, device=device)
    ws = [torch.randn((n, k), dtype=torch.bfloat16, device=device) for _ in range(copies)]
    one = torch.ones((), device=device)
    if kind == "fp8":
        x, ws = x.to(FP8), [w.to(FP8) for w in ws]
        run = lambda w: torch._scaled_mm(x, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True)
    elif kind == "int4":
        ws = [torch._convert_weight_to_int4pack(torch.randint(0, 255, (n, k // 2), dtype=torch.uint8, device=device), 8) for _ in range(copies)]
        scales = torch.ones((k // 128, n, 2), dtype=torch.bfloat16, device=device)
        run = lambda w: torch._weight_int4pack_mm(x, w, 128, scales)
    else:
        run = lambda w: F.linear(x, w)
    row = clock.time(lambda: [run(w) for w in ws], 0.03, inner=copies)
    return dict(type=kind, rows=m, outputs=n, inputs=k, ms=row["ms"], gb_per_s=bytes_each / row["ms"] / 1e6, tflops=2e-9 * m * n * k / row["ms"])


def caches(clock, save, device="cuda"):
    """Decode attention of one layer with 32 query and 8 KV heads of 128: the rate at which the cache is read, by type and tile."""
    sms = torch.cuda.get_device_properties(device).multi_processor_count
    for kind in (torch.bfloat16, FP8):
        for batch, context in ((1, 1024), (1, 8192), (8, 1024), (16, 4096), (64, 512), (64, 4096), (256, 1024)):
            layers = max(2, min(16, 2 * 10 ** 9 // (batch * context * 4096)))
            kv = [[torch.randn((batch, 8, context, 128), dtype=torch.bfloat16, device=device).to(kind) for _ in range(2)] for _ in range(layers)]
            q = torch.randn((batch, 32, 128), dtype=torch.bfloat16, device=device)
            for bn, warps, stages, waves in ((64, 4, 3, 4), (128, 4, 2, 4), (128, 8, 3, 4), (64, 4, 3, 2), (32, 4, 4, 8)):
                row = clock.time(lambda: [kernels.decode_attention(q, k, v, context, sms, torch.bfloat16, bn, warps, stages, waves) for k, v in kv], 0.03, inner=layers)
                read = batch * context * 8 * 128 * 2 * kv[0][0].element_size()
                save(dict(kernel="decode attention", type=str(kind), batch=batch, context=context, tile=bn, warps=warps, stages=stages, waves=waves,
                          ms=row["ms"], gb_per_s=read / row["ms"] / 1e6))
            del kv


def attention(clock, save, device="cuda"):
    """Prefill attention of one layer with 32 query and 8 KV heads of 128: n new tokens among themselves (causal), and
    against c cached ones. Two calls, as engines that share prefixes run it; both count 4*heads*d FLOPs per pair seen."""
    way = attention_ways()["cudnn-gqa"]
    for n, c in ((512, 0), (2048, 0), (8192, 0), (16384, 0), (512, 4096), (512, 16384), (512, 65536), (2048, 4096), (2048, 16384), (2048, 65536), (8192, 16384)):
        q = torch.randn((1, 32, n, 128), dtype=torch.bfloat16, device=device)
        k = torch.randn((1, 8, c or n, 128), dtype=torch.bfloat16, device=device)
        try:
            row = clock.time(lambda: way(q, k, k, causal=c == 0), 0.1)
        except RuntimeError as e:
            save(dict(new=n, cached=c, failed=str(e)[:200]))
            continue
        pairs = n * c if c else n * n / 2
        save(dict(new=n, cached=c, ms=row["ms"], tflops=4 * 32 * 128 * pairs / row["ms"] / 1e9))


def ceilings(clock, device="cuda"):
    """A large matrix product and a large copy (bytes read and written)."""
    a, b = (torch.randn((8192, 8192), dtype=torch.bfloat16, device=device) for _ in range(2))
    ms = clock.time(lambda: torch.mm(a, b), 0.5)["ms"]
    x = torch.empty(2 ** 31, dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    copy = clock.time(lambda: y.copy_(x), 0.3)["ms"]
    s = clock.time(lambda: x.view(torch.float32).sum(), 0.3)["ms"]
    return dict(bf16_tflops=2e-9 * 8192 ** 3 / ms, copy_gbs=2 * 2 ** 31 / copy / 1e6, read_gbs=2 ** 31 / s / 1e6)


def transfers(save):
    """Copies from one GPU to the other: in one piece, and in as many as a model of 64 layers has K and V blocks."""
    for size in (1 << 16, 1 << 20, 1 << 24, 1 << 27, 1 << 30):
        for pieces in (1, 128):
            src = [torch.empty(max(1, size // pieces), dtype=torch.uint8, device="cuda:0") for _ in range(pieces)]
            dst = [torch.empty_like(x, device="cuda:1") for x in src]
            times = []
            for _ in range(12):
                torch.cuda.synchronize(0), torch.cuda.synchronize(1)
                a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                a.record()
                for x, y in zip(src, dst):
                    y.copy_(x, non_blocking=True)
                b.record()
                torch.cuda.synchronize(0), torch.cuda.synchronize(1)
                times.append(a.elapsed_time(b))
            ms = sorted(times[2:])[5]
            save(dict(way="peer copy", bytes=size, pieces=pieces, ms=ms, gb_per_s=size / ms / 1e6))
