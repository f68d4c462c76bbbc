#!/usr/bin/env python3
"""How well does PyTorch's nn.Transformer translate, trained as long as mat's translator of the same size?

    bench/translation_reference.py PROGRAM MODEL --out FILE [--epochs N] [--seed N] [--threads N]

PROGRAM is mat-translate; MODEL is a model of bench/translation.sh, of which the tokenizer is taken and nothing else. The
reference has the same parameters, batches of as many tokens, schedule, AdamW, label smoothing, clipping and average; it
begins with PyTorch's own initialisation and draws and pads its batches as bench/translation_peers.py says. What it has
learned is written to FILE as a model of mat-translate, which translates and scores it: that PyTorch translates the same
weights to the same sentences is what bench/translation_peers.py checks. Prints a row like those of bench/translation.sh.
"""
import argparse
import os
import pathlib
import struct
import subprocess
import sys
import time

from translation_models import MatFile, TorchTraining

TEST = "test_2016_flickr"


def write_mat(path, template, tensors):
    """The model file `template` with other numbers in its tensors."""
    data = bytearray(pathlib.Path(template.path).read_bytes())
    (size,) = struct.unpack("<Q", data[:8])
    for name, (begin, end) in template.offsets.items():
        new = tensors[name].detach().contiguous().numpy().tobytes()
        assert len(new) == end - begin, name
        data[8 + size + begin : 8 + size + end] = new
    pathlib.Path(path).write_bytes(data)


def mat_names(model):
    """The tensors of the average by the names of mat's file."""
    return {name.removeprefix("transformer."): tensor for name, tensor in model.state_dict().items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = pathlib.Path(os.environ.get("MAT_DATA_DIR", pathlib.Path(__file__).parent / "../../shared/data"))
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", type=pathlib.Path, default=data / "mt/multi30k")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    file = MatFile(arguments.model)
    sources, targets = ((arguments.data / f"train.{side}").read_text().split("\n")[:-1] for side in ("en", "de"))
    pairs = list(zip(file.pieces.encode(sources), file.pieces.encode(targets)))
    training = TorchTraining(torch, file, pairs, seed=arguments.seed, epochs=arguments.epochs)
    steps, start = arguments.epochs * len(training.batches), time.monotonic()
    for step in range(steps):
        training.step()
        if step % 100 == 99:
            seconds = time.monotonic() - start
            print(f"step {step + 1} of {steps}, loss {training.last_loss:.3f}, {seconds:.0f} s", file=sys.stderr, flush=True)
    seconds, cpu = time.monotonic() - start, time.process_time()
    write_mat(arguments.out, file, mat_names(training.average.module))

    command = [arguments.program, "translate", arguments.out, "--beam", "4", "--threads", str(arguments.threads)]
    with open(arguments.data / f"{TEST}.en") as lines, open(arguments.out + ".de", "w") as found:
        subprocess.run(command, stdin=lines, stdout=found, check=True)
    score = subprocess.run([arguments.program, "score", "--ref", str(arguments.data / f"{TEST}.de"), arguments.out + ".de"],
                           capture_output=True, text=True, check=True).stdout
    bleu, chrf = (line.split("= ")[1].split()[0] for line in score.strip().split("\n"))
    print("| model | parameters | epochs | steps | seed | BLEU | chrF2 | seconds | of processors |")
    print(f"| nn.Transformer | {training.parameters} | {arguments.epochs} | {steps} | {arguments.seed} | {bleu} | {chrf} | "
          f"{seconds:.0f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
