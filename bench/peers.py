#!/usr/bin/env python3
"""The peers of the benchmarks that a C++ program cannot link: PyTorch from Python, eager and compiled, and ONNX Runtime.

bench/compare talks to it line by line, so that the peers and our programs take turns on the same core:
    list        answers one name a line, "question/case/peer", then an empty line
    versions    answers one line of JSON
    run NAME    answers one line: the seconds of one iteration, or "error: ..."
A peer that is not installed is left out of the list, and said on stderr. All of them use one thread (--threads N).
"""
import argparse
import io
import json
import math
import sys
import time

from memory_peers import memory_peers

SECONDS_OF_A_RUN = 0.2
TOLERANCE = 1e-4


def import_or_report(name):
    """The module, or None."""
    try:
        return __import__(name)
    except ImportError as error:
        print(f"peers.py: {name} is left out: {error}", file=sys.stderr, flush=True)
        return None


def seconds_of(step):
    """The seconds of one call: the calls that fit into SECONDS_OF_A_RUN, at least one, after one to get warm."""
    step()
    count, begin, elapsed = 0, time.perf_counter(), 0
    while elapsed < SECONDS_OF_A_RUN:
        step()
        count += 1
        elapsed = time.perf_counter() - begin
    return elapsed / count


def check(result, eager):
    """Raises if a peer computes something else than the eager modules. Measured as in bench/suite.hpp."""
    difference = ((result - eager).abs().max() / eager.abs().max()).item()
    if not difference <= TOLERANCE:
        raise RuntimeError(f"difference from the eager module is {difference:.3g}, expected at most {TOLERANCE}")


class Encoder:
    """latency/encoder_*: nn.TransformerEncoder in eval mode, d64 h4 ff256, 2 layers, one sequence."""

    def __init__(self, torch, length):
        torch.manual_seed(1)
        self.torch = torch
        layer = torch.nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)
        self.module = torch.nn.TransformerEncoder(layer, 2).eval()
        self.x = torch.randn(1, length, 64)

    def checked(self, call):
        """`call` itself, after a look that it computes what the eager module does."""
        with self.torch.no_grad():
            check(call(), self.module(self.x))
        return call

    def eager(self):
        def call():
            with self.torch.inference_mode():
                return self.module(self.x)

        return self.checked(call)

    def compiled(self):
        module = self.torch.compile(self.module)

        def call():
            with self.torch.no_grad():
                return module(self.x)

        return self.checked(call)

    def onnxruntime(self, runtime, threads):
        file = io.BytesIO()
        # The operators of the exporter do not know the one operator that eval mode takes for a layer.
        self.torch.backends.mha.set_fastpath_enabled(False)
        try:
            self.torch.onnx.export(self.module, (self.x,), file, input_names=["x"], dynamo=False)
        finally:
            self.torch.backends.mha.set_fastpath_enabled(True)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        session = runtime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        inputs = {"x": self.x.numpy()}
        self.checked(lambda: self.torch.from_numpy(session.run(None, inputs)[0]))
        return lambda: session.run(None, inputs)


def decode_step(torch, tokens):
    """decode/*: one token through 4 norm-first causal layers, d128 h4 ff512, with the keys and values before it cached."""
    torch.manual_seed(1)
    d, heads = 128, 4
    layers = [torch.nn.TransformerEncoderLayer(d, heads, 4 * d, dropout=0.0, activation="gelu", batch_first=True,
                                               norm_first=True).eval() for _ in range(4)]
    norm = torch.nn.LayerNorm(d)
    earlier = [torch.zeros(2, 1, heads, tokens, d // heads) for _ in layers]
    functional = torch.nn.functional

    def extend(x, position):
        end = position + x.size(1)
        for layer, cache in zip(layers, earlier):
            attention = layer.self_attn
            qkv = functional.linear(layer.norm1(x), attention.in_proj_weight, attention.in_proj_bias)
            q, k, v = qkv.view(1, x.size(1), 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)
            cache[0, :, :, position:end] = k
            cache[1, :, :, position:end] = v
            y = functional.scaled_dot_product_attention(q, cache[0, :, :, :end], cache[1, :, :, :end],
                                                        is_causal=x.size(1) > 1)
            x = x + attention.out_proj(y.transpose(1, 2).reshape(x.shape))
            x = x + layer.linear2(functional.gelu(layer.linear1(layer.norm2(x))))
        return norm(x)

    x = torch.randn(1, tokens, d)
    with torch.inference_mode():
        extend(x[:, :-1], 0)
        whole = torch.nn.Transformer.generate_square_subsequent_mask(tokens)
        expected = x
        for layer in layers:
            expected = layer(expected, src_mask=whole, is_causal=True)
        check(extend(x[:, -1:], tokens - 1), norm(expected)[:, -1:])

    def call():
        with torch.inference_mode():
            return extend(x[:, -1:], tokens - 1)

    return call


def make_model(torch, kind):
    """The classifier or the character GPT of bench/train_step.hpp, from torch.nn's modules."""
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            gpt = kind == "char_gpt"
            vocabulary, classes, layers, length, d = (96, 96, 4, 64, 128) if gpt else (10000, 6, 2, 64, 128)
            self.embedding = nn.Embedding(vocabulary, d)
            layer = nn.TransformerEncoderLayer(d, 4, 512, dropout=0.0, activation="gelu" if gpt else "relu",
                                               batch_first=True, norm_first=gpt)
            self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(d) if gpt else None,
                                                 enable_nested_tensor=False)
            self.head = nn.Linear(d, classes)
            if gpt:
                self.positions = nn.Parameter(0.02 * torch.randn(length, d))
                self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))
            else:
                angles = torch.arange(length).unsqueeze(1) * torch.exp(-math.log(10000) * torch.arange(0, d, 2) / d)
                self.register_buffer("positions", torch.stack([angles.sin(), angles.cos()], 2).flatten(1))

        def forward(self, ids):
            x = self.embedding(ids) + self.positions
            if kind == "char_gpt":
                return self.head(self.encoder(x, mask=self.mask, is_causal=True)).flatten(0, 1)
            return self.head(self.encoder(x).mean(1))

    return Model()


def train_step(torch, kind, compiled):
    """One step of train_step/*: forward, cross-entropy, backward, clipping to norm 1, AdamW with its defaults."""
    torch.manual_seed(1)
    model = make_model(torch, kind)
    batch, vocabulary, classes = (12, 96, 96) if kind == "char_gpt" else (32, 10000, 6)
    ids = torch.randint(vocabulary, (batch, 64))
    targets = torch.randint(classes, (batch * 64 if kind == "char_gpt" else batch,))
    optimizer = torch.optim.AdamW(model.parameters())
    forward = torch.compile(model) if compiled else model
    check(forward(ids).detach(), model(ids).detach())

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(forward(ids), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def all_peers(torch, runtime, threads):
    """Functions that make what is timed, by their names."""
    peers = {}
    if torch is None:
        return peers
    for length in (1, 8, 64):
        case = f"latency/encoder_d64_h4_ff256_L2_T{length}"
        peers[f"{case}/torch-python"] = lambda n=length: Encoder(torch, n).eager()
        peers[f"{case}/torch-compile"] = lambda n=length: Encoder(torch, n).compiled()
        if runtime is not None:
            peers[f"{case}/onnxruntime"] = lambda n=length: Encoder(torch, n).onnxruntime(runtime, threads)
    for tokens in (64, 1024, 4096):
        peers[f"decode/gpt_d128_h4_L4_float32_context{tokens}/torch-python"] = lambda n=tokens: decode_step(torch, n)
    for kind, case in (("classifier", "classifier_B32_T64"), ("char_gpt", "char_gpt_B12_T64")):
        for compiled in (False, True):
            name = f"train_step/{case}/" + ("torch-compile" if compiled else "torch-python")
            peers[name] = lambda k=kind, c=compiled: train_step(torch, k, c)
    peers.update(memory_peers(torch, check))
    return peers


def answer(line, peers, made, versions):
    """The answer to one line of the protocol."""
    command, _, name = line.strip().partition(" ")
    if command == "list":
        return "".join(peer + "\n" for peer in peers)
    if command == "versions":
        return json.dumps(versions)
    if command != "run" or name not in peers:
        return f"error: unknown: {line.strip()}"
    try:
        if name not in made:
            made[name] = peers[name]()
        return f"{seconds_of(made[name]):.9g}"
    except Exception as error:  # whatever a peer throws, the others go on
        return "error: " + " ".join(str(error).split())[:300]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    protocol, sys.stdout = sys.stdout, sys.stderr  # what the peers themselves print is no answer
    torch = import_or_report("torch")
    runtime = import_or_report("onnxruntime")
    if runtime is not None and import_or_report("onnx") is None:
        runtime = None  # the export needs it
    versions = {module.__name__: module.__version__ for module in (torch, runtime) if module is not None}
    if torch is not None:
        torch.set_num_threads(threads)
    peers, made = all_peers(torch, runtime, threads), {}
    for line in sys.stdin:
        print(answer(line, peers, made, versions), file=protocol, flush=True)


if __name__ == "__main__":
    main()
