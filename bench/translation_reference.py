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
import subprocess
import sys
import time

from translation_models import MatFile, TorchTraining

TEST = "test_2016_flickr"


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
    training = TorchTraining(torch, file, file.read_pairs(arguments.data), seed=arguments.seed, epochs=arguments.epochs)
    steps, start = arguments.epochs * len(training.batches), time.monotonic()
    for step in range(steps):
        training.step()
        if step % 100 == 99:
            seconds = time.monotonic() - start
            print(f"step {step + 1} of {steps}, loss {training.last_loss:.3f}, {seconds:.0f} s", file=sys.stderr, flush=True)
    seconds, cpu = time.monotonic() - start, time.process_time()
    file.write(arguments.out, training.average.module.mat_tensors())

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
