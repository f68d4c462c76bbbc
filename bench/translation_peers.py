#!/usr/bin/env python3
"""How fast does mat train a translator and translate, beside PyTorch's nn.Transformer and CTranslate2 on one machine?

    bench/translation_peers.py PROGRAM [--model FILE] [--threads N] [--repetitions N] [--steps N] [--clock cpu]
                               [--skip PART] [--json FILE]

PROGRAM is mat-translate, built with -O3. The data set is Multi30k, English to German, in MAT_DATA_DIR/mt/multi30k; the
model is that of bench/translation.sh. FILE is such a model of mat-translate; if there is none, it is trained for
--epochs first and kept there. The peers take turns, and each row of the table has the best of the repetitions and their
median. On a machine that does other work, --clock cpu with one thread counts the seconds that the processor spent.

Training counts the tokens of the translations that the loss is taken of, without padding, in steps with as many real
tokens of both sides. All have norms first, tied embeddings, dropout, label smoothing, clipping, AdamW and a moving
average of the parameters. mat draws its batches; PyTorch's are sorted by length, which pads least, or of any lengths
as a shuffled text has them; both are cut once and come in another order each epoch. Its AdamW is fused.

Translation counts the seconds of test_2016_flickr from text to text, once the model is loaded: all peers have the
same weights, and their translations are compared with mat's. PyTorch reads the whole translation again for each token,
as nn.Transformer has no key/value cache, and is measured once only. CTranslate2 is told to use float32. Of some sizes
of their batches, mat and CTranslate2 are given the fastest. --skip training or --skip translation leaves a part out.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from translation_models import (MatFile, Clock, TorchTraining, TorchTranslate, Ctranslate2, LAYERS, DIM, HIDDEN, HEADS,
                                BATCH_TOKENS, DROPOUT, SMOOTHING, LEARNING_RATE, AVERAGE_DECAY, RISING_STEPS, WARM_STEPS,
                                PEER_BATCH)

TEST = "test_2016_flickr"
MAT_BATCHES = (32, 1000)  # lines
CT2_BATCHES = (32, 64, 128)  # sentences


def train_options(arguments, threads):
    """mat-translate train, with the settings of bench/translation.sh."""
    data = arguments.data
    return [arguments.program, "train", "--src", str(data / "train.en"), "--tgt", str(data / "train.de"),
            "--pieces", "6000", "--dim", str(DIM), "--hidden", str(HIDDEN), "--heads", str(HEADS),
            "--layers", str(LAYERS), "--batch-tokens", str(BATCH_TOKENS), "--lr", str(LEARNING_RATE),
            "--dropout", str(DROPOUT), "--label-smoothing", str(SMOOTHING), "--threads", str(threads)]


def train_model(arguments):
    """A model that writes sentences of the usual lengths; a short training has a shorter average."""
    print(f"trains {arguments.model}", file=sys.stderr, flush=True)
    options = ["--epochs", str(arguments.epochs), "--warmup", "100", "--average-decay", "0.99"]
    options += ["--out", arguments.model]
    options += ["--valid-src", str(arguments.data / "valid.en"), "--valid-tgt", str(arguments.data / "valid.de")]
    subprocess.run(train_options(arguments, arguments.threads) + options, check=True)


def cpu_seconds(process):
    """What all threads of a process have used."""
    nanoseconds = 0
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def mat_training(arguments, work, target_share):
    """Seconds and target tokens of some steps, once the training is warm; it is ended after them."""
    read_end, write_end = os.pipe()
    options = ["--epochs", "12", "--warmup", str(RISING_STEPS), "--average-decay", str(AVERAGE_DECAY)]
    options += ["--checkpoint-seconds", "1e8", "--out", os.path.join(work, "unused"), "--log", f"/dev/fd/{write_end}"]
    process = subprocess.Popen(train_options(arguments, arguments.threads) + options, stderr=subprocess.DEVNULL,
                               pass_fds=[write_end])
    os.close(write_end)
    try:
        both, before = 0, 0.0
        with open(read_end) as lines:
            for line in lines:
                step = json.loads(line)
                cpu, wall = cpu_seconds(process), step["seconds"]
                if step["step"] == WARM_STEPS:
                    begin = cpu, wall
                elif step["step"] > WARM_STEPS:
                    both += step["tokens_per_second"] * (wall - before)  # it counts both sides
                before = wall
                if step["step"] == WARM_STEPS + arguments.steps:
                    return {"cpu": cpu - begin[0], "wall": wall - begin[1], "tokens": both * target_share}
    finally:
        process.terminate()
        process.wait()
    sys.exit("mat-translate train ended before its last step")


def run_mat(arguments, beam, batch, text):
    """Seconds of a process, loading included, and what it prints."""
    command = [arguments.program, "translate", arguments.model, "--beam", str(beam), "--batch", str(batch)]
    command += ["--threads", str(arguments.threads)]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(text.encode())
        source.seek(0)
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=source, stdout=target)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"mat-translate translate ended with {process.returncode}")
        target.seek(0)
        return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall}, target.read().decode().split("\n")[:-1]


def measure_training(torch, arguments, file):
    pairs = file.read_pairs(arguments.data)
    both = sum(len(source) + len(target) + 2 for source, target in pairs)
    target_share = sum(len(target) + 1 for _, target in pairs) / both
    peers = {"PyTorch, batches by length": TorchTraining(torch, file, pairs),
             "PyTorch, batches of any lengths": TorchTraining(torch, file, pairs, by_length=False)}
    padding = {name: peer.padding for name, peer in peers.items()}
    parameters = {"mat": file.parameters, **{name: peer.parameters for name, peer in peers.items()}}
    print(f"parameters {parameters}; padding {padding}; target tokens {target_share:.1%} of both sides",
          file=sys.stderr, flush=True)
    runs = {name: [] for name in ("mat", *peers)}
    with tempfile.TemporaryDirectory() as work:
        for _ in range(arguments.repetitions):
            runs["mat"].append(mat_training(arguments, work, target_share))
            for name, peer in peers.items():
                runs[name].append(peer.measure(arguments.steps))
            print({name: round(r[-1]["tokens"] / r[-1][arguments.clock]) for name, r in runs.items()}, file=sys.stderr,
                  flush=True)
    return {"case": "training, target tokens/s", "runs": runs, "parameters": parameters, "padding": padding}


def fastest(batches, clock, run):
    """Of sizes of a batch: each is tried twice, by turns."""
    seconds = {batch: [] for batch in batches}
    for _ in range(2):
        for batch in batches:
            seconds[batch].append(run(batch)[clock])
    return min(batches, key=lambda batch: min(seconds[batch]))


def timed(call):
    clock = Clock()
    result = call()
    return clock.seconds(), result


def measure_translation(torch, arguments, file, beam):
    import sacrebleu

    texts, references = ((arguments.data / f"{TEST}.{side}").read_text().split("\n")[:-1] for side in ("en", "de"))
    text = "".join(line + "\n" for line in texts)
    runs, outputs, batches = {"mat": [], "PyTorch": [], "CTranslate2": []}, {}, {"PyTorch": PEER_BATCH}
    loading, torch_peer = [], TorchTranslate(torch, file)
    with tempfile.TemporaryDirectory() as work:
        peer = Ctranslate2(file, work, arguments.threads)
        calls = {"mat": lambda batch: run_mat(arguments, beam, batch, text),
                 "CTranslate2": lambda batch: timed(lambda: peer.translate(texts, beam, batch)),
                 "PyTorch": lambda _: timed(lambda: torch_peer.translate(texts, beam))}
        for name, sizes in (("mat", MAT_BATCHES), ("CTranslate2", CT2_BATCHES)):
            batches[name] = fastest(sizes, arguments.clock, lambda batch, n=name: calls[n](batch)[0])
        for repetition in range(arguments.repetitions):
            loading.append(run_mat(arguments, beam, batches["mat"], "")[0])
            for name, call in calls.items():
                if name == "PyTorch" and repetition > 0:
                    continue  # it takes many times as long
                seconds, outputs[name] = call(batches[name])
                runs[name].append(seconds)
            print({name: round(r[-1][arguments.clock], 2) for name, r in runs.items()}, file=sys.stderr, flush=True)
    for clock in ("cpu", "wall"):
        least = min(seconds[clock] for seconds in loading)
        for seconds in runs["mat"]:
            seconds[clock] -= least
    return {"case": f"{TEST}, beam {beam}, s", "runs": runs, "loading": loading, "batches": batches,
            "sentences": len(texts),
            "same": {name: sum(a == b for a, b in zip(output, outputs["mat"])) for name, output in outputs.items()},
            "bleu": {name: sacrebleu.corpus_bleu(output, [references]).score for name, output in outputs.items()}}


def rows_of(result, clock):
    """Of each peer: its best, its median, how many times better mat's best is; lines like mat's, and BLEU."""
    training = "same" not in result
    values = {name: [run["tokens"] / run[clock] if training else run[clock] for run in runs]
              for name, runs in result["runs"].items()}
    best = {name: max(v) if training else min(v) for name, v in values.items()}
    for name, v in values.items():
        factor = best["mat"] / best[name] if training else best[name] / best["mat"]
        digits = 0 if training else 2
        same = "" if training else f"{result['same'][name]} of {result['sentences']}"
        bleu = "" if training else f"{result['bleu'][name]:.2f}"
        yield [result["case"], name, f"{best[name]:.{digits}f}", f"{statistics.median(v):.{digits}f}", f"{factor:.2f}",
               same, bleu]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = pathlib.Path(os.environ.get("MAT_DATA_DIR", pathlib.Path(__file__).resolve().parents[2] / "shared/data"))
    parser.add_argument("program")
    parser.add_argument("--model", default="translation_peers.safetensors")
    parser.add_argument("--epochs", type=int, default=2, help="of the training of a model, if there is none")
    parser.add_argument("--data", type=pathlib.Path, default=data / "mt/multi30k")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="of a repetition of the training")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--skip", choices=("training", "translation"))
    parser.add_argument("--json", metavar="FILE", help="all that was measured")
    arguments = parser.parse_args()
    if arguments.clock == "cpu" and arguments.threads != 1:
        parser.error("--clock cpu is for one thread")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if not os.path.exists(arguments.model):
        train_model(arguments)
    import ctranslate2
    import torch

    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", message="enable_nested_tensor")  # norms first have none
    file, results = MatFile(arguments.model), []
    if arguments.skip != "training":
        results.append(measure_training(torch, arguments, file))
    if arguments.skip != "translation":
        results += [measure_translation(torch, arguments, file, beam) for beam in (1, 4)]
    versions = f"PyTorch {torch.__version__}, CTranslate2 {ctranslate2.__version__}"
    print(f"{arguments.threads} thread(s), {arguments.clock} clock, {arguments.repetitions} repetitions, {versions}\n")
    print("| what | peer | best | median | mat's best is better by | lines like mat's | BLEU |")
    print("|---|---|---|---|---|---|---|")
    for result in results:
        for row in rows_of(result, arguments.clock):
            print("| " + " | ".join(row) + " |")
    if arguments.json:
        text = json.dumps({"versions": versions, "options": vars(arguments), "results": results}, default=str, indent=1)
        pathlib.Path(arguments.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
