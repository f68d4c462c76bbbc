"""bench/compare on recorded measurements and on a program with made-up times; the line protocol of bench/peers.py."""
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCH = FOLDER.parent.parent / "bench"
sys.dont_write_bytecode = True
sys.path.insert(0, str(BENCH))
import peers  # noqa: E402: found by the line above
import report  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def compare(*arguments, **environment):
    """What bench/compare printed, said and returned."""
    return subprocess.run([sys.executable, "-B", str(BENCH / "compare"), *map(str, arguments)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment})


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)


class RecordedMeasurements(WithFolder):
    """bench/compare --from FILE."""

    def setUp(self):
        super().setUp()
        self.source = FOLDER / "measurements.json"
        self.done = compare("--from", self.source, "--json", self.folder / "out.json", "--svg", self.folder / "out.svg")
        self.assertEqual(self.done.returncode, 0, self.done.stderr)

    def test_table_has_a_row_for_each_case_and_a_column_for_each_peer(self):
        self.assertEqual(self.done.stdout, (FOLDER / "table.expected").read_text(encoding="utf-8"))

    def test_json_is_what_was_read(self):
        self.assertEqual(json.loads((self.folder / "out.json").read_text()), json.loads(self.source.read_text()))

    def test_plot_has_a_bar_for_each_ratio_as_long_as_it(self):
        plot = xml.parse(self.folder / "out.svg").getroot()
        bars = [bar for bar in plot.iter(SVG + "rect") if bar.get("x") == f"{report.LABELS:.1f}"]
        lengths = [float(bar.get("width")) for bar in bars]
        self.assertEqual(len(lengths), 3)
        self.assertAlmostEqual(lengths[0] / lengths[1], 2.0 / 0.8, delta=0.01)
        self.assertAlmostEqual(lengths[0], lengths[2], delta=0.1)
        one = [line for line in plot.iter(SVG + "line") if line.get("stroke") == "#000000"]
        self.assertAlmostEqual(float(one[0].get("x1")), report.LABELS + lengths[0] / 2, delta=0.1)

    def test_plot_names_questions_cases_peers_and_numbers(self):
        texts = [text.text for text in xml.parse(self.folder / "out.svg").getroot().iter(SVG + "text")]
        for expected in ("latency", "train step", "encoder T1", "classifier B32 T64", "torch", "onnxruntime", "0.80"):
            self.assertIn(expected, texts)
        self.assertTrue(any(text.startswith("Abacus & Sons, one thread") for text in texts))


class AxisSteps(unittest.TestCase):
    def test_there_are_at_most_ten_numbers_on_an_axis(self):
        steps = [report.axis_step(largest) for largest in (2, 10, 11, 30, 60, 150, 300)]
        self.assertEqual(steps, [1, 1, 2, 5, 10, 20, 50])


class MadeUpTimes(WithFolder):
    """A build folder whose only program is mat-bench-fake."""

    def setUp(self):
        super().setUp()
        (self.folder / "bin").mkdir()
        shutil.copy(FOLDER / "mat-bench-fake", self.folder / "bin")
        self.runs = self.folder / "runs"

    def run_fake(self, *arguments, **environment):
        return compare("--build", self.folder, "--no-python-peers", "--json", self.folder / "out.json", *arguments,
                       FAKE_RUNS=str(self.runs), **environment)

    def results(self):
        return json.loads((self.folder / "out.json").read_text())["results"]

    def test_least_of_the_repetitions_counts(self):
        done = self.run_fake("--repetitions", "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        small, alone = self.results()
        self.assertEqual((small["question"], small["case"]), ("fast", "small"))
        self.assertEqual(small["mat"], {"seconds": 0.01, "share": 0.5, "cpu_share": 1})
        self.assertEqual(small["peers"], {"torch": {"seconds": 0.03, "share": 0.5, "difference": 1e-7, "cpu_share": 1,
                                                    "ratio": 3.0}})
        self.assertEqual((alone["question"], alone["peers"]), ("slow", {}))
        self.assertEqual(len(self.runs.read_text().splitlines()), 2)

    def test_times_of_a_busy_core_are_said(self):
        self.assertIn("during 1 of the times, so they are too long: slow/small/mat\n", self.run_fake().stderr)
        self.assertNotIn("warning", self.run_fake("--filter", "fast").stderr)

    def test_filter_chooses_cases(self):
        self.run_fake("--repetitions", "1", "--filter", "^slow")
        self.assertEqual([result["question"] for result in self.results()], ["slow"])

    def test_different_results_fail(self):
        done = self.run_fake("--repetitions", "1", FAKE_FAILURE="1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED: y differs\n", done.stderr)
        self.assertEqual(self.results(), [])

    def test_folder_without_programs_is_said(self):
        done = compare("--build", self.folder / "nowhere", "--no-python-peers")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there are no programs", done.stderr)


class Turns(unittest.TestCase):
    """A program and the peers of peers.py, with both replaced by a list of who ran."""

    def setUp(self):
        loader = importlib.machinery.SourceFileLoader("compare", str(BENCH / "compare"))
        self.compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
        loader.exec_module(self.compare)
        self.turns = []
        self.comparison = self.compare.Comparison()
        self.comparison.run_program = lambda *arguments: self.turns.append("program")
        self.comparison.fail = lambda text: self.turns.append(text)

    def ask(self, line):
        self.turns.append(line)
        return ["error: gone"] if line.endswith("broken") else [str(1 / len(self.turns))]

    def test_a_peer_runs_after_each_turn_of_the_program_until_it_fails(self):
        arguments = types.SimpleNamespace(repetitions=2, min_time=0.1)
        self.comparison.run_case(None, "a/b", self, ["a/b/sleeps", "a/b/broken"], arguments)
        self.assertEqual(self.turns, ["program", "run a/b/sleeps", "run a/b/broken", "a/b/broken: error: gone",
                                      "program", "run a/b/sleeps"])
        self.assertEqual(list(self.comparison.rows["a/b"]), ["sleeps"])
        self.assertAlmostEqual(self.comparison.rows["a/b"]["sleeps"]["seconds"], 1 / 6)


class LineProtocol(unittest.TestCase):
    """bench/peers.py, with peers that need no package."""

    def setUp(self):
        self.made = {}
        self.peers = {"a/b/sleeps": lambda: (lambda: None), "a/b/broken": self.broken}
        self.seconds, peers.SECONDS_OF_A_RUN = peers.SECONDS_OF_A_RUN, 0.001

    def tearDown(self):
        peers.SECONDS_OF_A_RUN = self.seconds

    @staticmethod
    def broken():
        raise ValueError("no\nsuch thing")

    def answer(self, line):
        return peers.answer(line, self.peers, self.made, {"torch": "2.13.0"})

    def test_list_ends_with_an_empty_line(self):
        self.assertEqual(self.answer("list\n") + "\n", "a/b/sleeps\na/b/broken\n\n")

    def test_versions_are_json(self):
        self.assertEqual(json.loads(self.answer("versions\n")), {"torch": "2.13.0"})

    def test_run_answers_seconds(self):
        self.assertGreater(float(self.answer("run a/b/sleeps\n")), 0)
        self.assertLess(float(self.answer("run a/b/sleeps\n")), 0.001)

    def test_errors_are_one_line(self):
        self.assertEqual(self.answer("run a/b/broken\n"), "error: no such thing")
        self.assertEqual(self.answer("run a/b/c\n"), "error: unknown: run a/b/c")

    def test_without_packages_there_are_no_peers(self):
        self.assertEqual(peers.all_peers(None, None, 1), {})


if __name__ == "__main__":
    unittest.main()
