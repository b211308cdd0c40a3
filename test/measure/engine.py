"""A lean engine: one decoder step of random weights over random data, as serving engines run it, with no scheduler in it.

Norms, rotary embedding, activation and the KV write are fused; decode attention splits the context; matrix products are
cuBLAS; experts are a grouped product. Under tensor parallelism each rank holds its share of heads, FFN and experts' width,
and sums after attention and FFN.
"""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import experts
import kernels

BF16, FP8 = torch.bfloat16, torch.float8_e4m3fn

SHAPES = {
    "qwen3-32b": dict(h=5120, L=64, nq=64, nk=8, d=128, ff=25600, v=151936),
    "qwen3-14b": dict(h=5120, L=40, nq=40, nk=8, d=128, ff=17408, v=151936),
    "llama-3.1-70b": dict(h=8192, L=80, nq=64, nk=8, d=128, ff=28672, v=128256),
    "mixtral-8x7b": dict(h=4096, L=32, nq=32, nk=8, d=128, ff=0, v=32000, E=8, k=2, ef=14336),
    "qwen3-8b": dict(h=4096, L=36, nq=32, nk=8, d=128, ff=12288, v=151936),
    "qwen3-30b-a3b": dict(h=2048, L=48, nq=32, nk=4, d=128, ff=0, v=151936, E=128, k=8, ef=768),
    # q.k heads of 128 + 64, values of 128, a latent of 512; the first layer is dense; two shared experts.
    "deepseek-v2-lite": dict(h=2048, L=27, nq=16, nk=16, d=192, ff=10944, v=102400, E=64, k=6, ef=1408, sf=2816, dense=1,
                             rank=512, rope=64, nope=128, dv=128),
}


def attention_ways():
    """The ways to run causal attention of a prompt; the fastest on this machine is taken."""
    def way(backend, gqa):
        def run(q, k, v, causal=True):
            with sdpa_kernel(backend):
                if not gqa and k.shape[1] != q.shape[1]:
                    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=gqa and k.shape[1] != q.shape[1])
        return run
    return {"cudnn-gqa": way(SDPBackend.CUDNN_ATTENTION, True), "flash-gqa": way(SDPBackend.FLASH_ATTENTION, True),
            "cudnn": way(SDPBackend.CUDNN_ATTENTION, False), "flash": way(SDPBackend.FLASH_ATTENTION, False)}


class Engine:
    """One rank's part of a model. Weights are fp8 (static scales) where fp8 is set, but for embedding and head."""

    def __init__(self, shape, layers=None, tp=1, fp8=False, reduce=None, cache_tokens=0, skew=0.0, device="cuda", most_rows=16384):
        s = dict(shape)
        self.s, self.tp, self.fp8, self.device = s, tp, fp8, device
        self.L = layers or s["L"]
        self.reduce = reduce or (lambda x: x)
        self.act = FP8 if fp8 else BF16
        self.nq, self.nk, self.d, self.h = s["nq"] // tp, max(1, s["nk"] // tp), s["d"], s["h"]
        self.mla, self.moe = "rank" in s, "E" in s
        self.sms = torch.cuda.get_device_properties(device).multi_processor_count
        self.attend, self.pad_values, self.tile, self.row0 = None, False, None, 0
        self.one = torch.ones((), device=device)
        self.scale = torch.full((), 0.02, device=device)
        h, d = self.h, self.d
        one = lambda n: torch.ones(n, dtype=BF16, device=device)
        self.layers = []
        for i in range(self.L):
            w = dict(n1=one(h), n2=one(h), qn=one(d), kn=one(d))
            if self.mla:
                w["q"] = self.weight(self.nq * d, h)
                w["kva"] = self.weight(s["rank"] + s["rope"], h)
                w["kvb"] = self.weight(self.nq * (s["nope"] + s["dv"]), s["rank"])
                up = w["kvb"].view(self.nq, s["nope"] + s["dv"], s["rank"])
                w["uk"], w["uv"] = up[:, :s["nope"]].contiguous(), up[:, s["nope"]:].transpose(1, 2).contiguous()
                w["ln"] = one(s["rank"])
                w["o"] = self.weight(h, self.nq * s["dv"])
            else:
                w["qkv"] = self.weight((self.nq + 2 * self.nk) * d, h)
                w["o"] = self.weight(h, self.nq * d)
            if self.moe and i >= s.get("dense", 0):
                ef = s["ef"] // tp
                w["router"] = self.weight(s["E"], h, plain=True)
                w["w1"] = self.weight(s["E"] * 2 * ef, h, plain=True).view(s["E"], 2 * ef, h)
                w["w2"] = self.weight(s["E"] * h, ef, plain=True).view(s["E"], h, ef)
                if s.get("sf"):
                    w["gu"], w["down"] = self.weight(2 * s["sf"] // tp, h), self.weight(h, s["sf"] // tp)
            else:
                w["gu"], w["down"] = self.weight(2 * s["ff"] // tp, h), self.weight(h, s["ff"] // tp)
            self.layers.append(w)
        self.embed = self.weight(s["v"], h, plain=True)
        self.head = self.weight(s["v"] // tp, h, plain=True)
        self.final = one(h)
        positions = 40960
        rot = s["rope"] if self.mla else d
        angle = torch.arange(positions, device=device, dtype=torch.float32)[:, None] * 1e6 ** (-torch.arange(0, rot, 2, device=device) / rot)[None]
        self.cos, self.sin = angle.cos().contiguous(), angle.sin().contiguous()
        self.ids = torch.randint(0, s["v"], (most_rows,), device=device)
        self.residual = torch.empty((most_rows, h), dtype=BF16, device=device)
        if self.moe:
            self.noise = experts.routing_noise(most_rows + self.L * 512, s["E"], device)
            self.law = experts.routing_law(self.L, s["E"], skew, device)
            self.counts = torch.zeros((self.L, s["E"]), dtype=torch.int32, device=device)
        width = s["rank"] + s["rope"] if self.mla else 2 * self.nk * d
        self.cache = torch.empty((self.L, cache_tokens * width), dtype=BF16, device=device)
        for c in self.cache:
            c.normal_()

    def weight(self, out, inner, plain=False):
        if self.fp8 and not plain:
            return torch.randn((out, inner), dtype=BF16, device=self.device).to(FP8)
        return torch.randn((out, inner), dtype=BF16, device=self.device).mul_(0.02)

    def linear(self, x, w):
        if w.dtype == FP8:
            if x.dtype != FP8:
                x = x.to(FP8)
            return torch._scaled_mm(x, w.t(), scale_a=self.one, scale_b=self.scale, out_dtype=BF16, use_fast_accum=True)
        return F.linear(x, w)

    def kv(self, layer, batch, cap):
        half = batch * self.nk * cap * self.d
        c = self.cache[layer]
        shape = (batch, self.nk, cap, self.d)
        return c[:half].view(shape), c[half:2 * half].view(shape)

    def gqa(self, w, layer, a, prompt, context, cap):
        n = a.shape[0]
        kc, vc = self.kv(layer, 1 if prompt else n, cap)
        at = 0 if prompt else context - 1
        q = kernels.rope(self.linear(a, w["qkv"]), w["qn"], w["kn"], self.cos, self.sin, kc, vc, at, self.nq, self.nk, self.d, prompt)
        if prompt:
            o = self.attend(q.transpose(0, 1)[None], kc[:, :, :n], vc[:, :, :n])
            o = o[0].transpose(0, 1).reshape(n, self.nq * self.d)
        else:
            o = kernels.decode_attention(q, kc, vc, context, self.sms, self.act)
        return self.linear(o, w["o"])

    def latent(self, w, layer, a, prompt, context, cap):
        s, n = self.s, a.shape[0]
        rank, nope, dv, heads = s["rank"], s["nope"], s["dv"], self.nq
        batch = 1 if prompt else n
        width = rank + s["rope"]
        cache = self.cache[layer][:batch * cap * width].view(batch, cap, width)
        at = 0 if prompt else context - 1
        rows = cache[0, :n] if prompt else cache[:, at]
        q = self.linear(a, w["q"]).view(n, heads, self.d)
        kv = self.linear(a, w["kva"])
        kernels.norm_rows(kv[:, :rank], rows[:, :rank], w["ln"])
        kernels.rope_only(kv[:, rank:].unsqueeze(1), rows[:, rank:].unsqueeze(1), self.cos, self.sin, at, prompt)
        kernels.rope_only(q[:, :, nope:], q[:, :, nope:], self.cos, self.sin, at, prompt)
        if prompt:
            up = self.linear(rows[:, :rank].contiguous(), w["kvb"]).view(n, heads, nope + dv)
            k = torch.cat((up[:, :, :nope], rows[:, rank:].unsqueeze(1).expand(n, heads, s["rope"])), dim=2)
            v = up[:, :, nope:]
            if self.pad_values:
                v = F.pad(v, (0, self.d - dv))
            o = self.attend(*(x.transpose(0, 1)[None] for x in (q, k, v)))
            o = o[0].transpose(0, 1)[:, :, :dv].reshape(n, heads * dv)
        else:
            wide = torch.empty((n, heads, width), dtype=BF16, device=self.device)
            wide[:, :, rank:] = q[:, :, nope:]
            wide[:, :, :rank] = torch.bmm(q[:, :, :nope].transpose(0, 1), w["uk"]).transpose(0, 1)
            o = kernels.decode_latent(wide, cache, context, self.d, self.sms)
            o = torch.bmm(o.transpose(0, 1), w["uv"]).transpose(0, 1).reshape(n, heads * dv)
        return self.linear(o, w["o"])

    def ffn(self, w, layer, a):
        out = None
        if "gu" in w:
            out = self.linear(kernels.silu_mul(self.linear(a, w["gu"]), self.act), w["down"])
        if "w1" in w:
            y = experts.mixture(a, F.linear(a, w["router"]), self.noise, self.law[layer], self.row0 + layer * 512, self.counts[layer], w["w1"], w["w2"], self.s["k"],
                                self.tile, kernels.silu_mul)
            out = y if out is None else out.add_(y)
        return out

    def step(self, n, prompt, context=0, cap=None):
        """The step of one prompt of n tokens, or of n sequences of `context` tokens each; returns the next token or tokens,
        and the last hidden rows."""
        cap = cap or (n if prompt else context)
        r = self.residual[:n]
        torch.index_select(self.embed, 0, self.ids[:n], out=r)
        if self.moe:
            self.counts.zero_()
        x = None
        for i, w in enumerate(self.layers):
            a = kernels.add_norm(x, r, w["n1"], self.act)
            x = self.reduce((self.latent if self.mla else self.gqa)(w, i, a, prompt, context, cap))
            x = self.reduce(self.ffn(w, i, kernels.add_norm(x, r, w["n2"], self.act)))
        y = kernels.add_norm(x, r, self.final, BF16)
        if prompt:
            y = y[-1:]
        return torch.argmax(F.linear(y, self.head), dim=1), y

    def agrees(self, n=65):
        """How far a decode step after n-1 tokens is from the prefill of n: two paths through all kernels."""
        _, whole = self.step(n, True)
        self.step(n - 1, True, cap=n)
        ids, row0 = self.ids, self.row0
        self.ids, self.row0 = ids[n - 1:], row0 + n - 1
        _, last = self.step(1, False, context=n)
        self.ids, self.row0 = ids, row0
        return ((whole - last).float().norm() / whole.float().norm()).item()
