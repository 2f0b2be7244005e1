"""How well and how fast `digits predict` reads pictures: python -m benchmarks.handwriting RUNS MODEL [--repeats 4].

Draws digits of the made-up authors (benchmarks.hands) and enlarged MNIST validation images on every sheet of
benchmarks.papers: single digits, and lines of digits. No model was trained on them, but the ink detection was
developed on pictures of these kinds, drawn with other seeds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from difflib import SequenceMatcher
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.hands import AUTHORS, Author, written
from benchmarks.papers import LARGE, SHEETS, Mask, Pen, Sheet, finished, picture
from digits_core.data.datasets import load_digits
from digits_core.data.digits import LabelledImages, split_digits
from digits_core.delivery.reader import Reader
from digits_core.handwriting.decode import _on_ground
from digits_core.handwriting.reading import Picture
from digits_core.inference.classifier import open_classifier
from digits_core.judging.stats import accuracy_interval

SEED = 2_026
LINES = ("drawn", "scan, ruled", "scan, squared", "photograph, shadow", "photograph, ruled", "photograph, squared")


def enlarged(part: LabelledImages, number: int, height: float) -> Mask:
    """An image of the data set, enlarged to ink of this height in pixels."""
    image = part.images[number]
    crop = image[image.any(axis=1)][:, image.any(axis=0)]
    factor = height / max(crop.shape)
    soft = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray((cv2.GaussianBlur(soft, (0, 0), factor / 3) > 110) * 255, np.uint8)


def pen_of(author: Author, digit: int, stream: np.random.Generator) -> Pen:
    """A pen with which the author writes this digit."""
    return lambda height, pen: written(author, digit, height, pen, stream)


def opaque(pixels: np.ndarray) -> np.ndarray:
    """Drop transparency, as decoding a file would."""
    return np.ascontiguousarray(_on_ground(pixels) if pixels.shape[2] == 4 else pixels)


def single_digits(reader: Reader, part: LabelledImages, repeats: int) -> None:
    """Print the accuracy on pictures of one digit, by sheet and by writer; the reader is not told that it is one."""
    stream = np.random.default_rng(SEED)
    by_sheet: dict[str, Counter[bool]] = defaultdict(Counter)
    by_hand: dict[str, Counter[bool]] = defaultdict(Counter)
    for sheet in (*SHEETS, LARGE):
        for _ in range(repeats):
            for author in (*AUTHORS, None, None):
                number, digit = int(stream.integers(len(part))), int(stream.integers(10))
                if author is None:
                    digit = int(part.labels[number])
                    pixels = picture(lambda height, _, n=number: enlarged(part, n, height), sheet, stream)
                else:
                    pixels = picture(
                        lambda height, pen, a=author, d=digit: written(a, d, height, pen, stream), sheet, stream
                    )
                read = [one.digit for one in reader.read_pixels(opaque(pixels)).digits]
                by_sheet[sheet.name][read == [digit]] += 1
                by_hand[author.name if author else "MNIST's writers"][read == [digit]] += 1
    for counts in (by_sheet, by_hand, {"all": sum(by_hand.values(), Counter())}):
        for name, counter in counts.items():
            interval = accuracy_interval(counter[False], counter.total())
            share = counter[True] / counter.total()
            print(f"{name:40}{share:8.2%} [{interval.low:.2%}, {interval.high:.2%}] of {counter.total()}")


def lines_of_digits(reader: Reader, repeats: int) -> None:
    """Print the share of digits read in the right order in rows of eight, of the larger of true and predicted count."""
    stream = np.random.default_rng(SEED)
    for gap in (0.3, 0.1, 0.0):
        right = total = 0
        for name in LINES:
            sheet = Sheet(**{**vars(next(each for each in SHEETS if each.name == name)), "side": 1_200})
            for author in AUTHORS * repeats:
                ink, labels, left = np.zeros((1_200, 1_200), np.float32), [], 110.0
                for _ in range(8):
                    digit = int(stream.integers(10))
                    mask = written(author, digit, 130, 9, stream)
                    ink[520 : 520 + mask.shape[0], int(left) : int(left) + mask.shape[1]] += mask / 255
                    labels.append(digit)
                    left += mask.shape[1] + gap * 130
                reading = reader.read_pixels(opaque(finished(np.clip(ink, 0, 1) * sheet.opacity, sheet, stream)))
                read = [one.digit for one in reading.digits]
                right += sum(block.size for block in SequenceMatcher(None, labels, read, False).get_matching_blocks())
                total += max(len(labels), len(read))
        print(f"rows of 8, {gap:.1f} digit heights apart: {right / total:.2%} of {total} digits")


def speed(runs: Path, model: str, reader: Reader) -> None:
    """Print the time for a thousand pictures, and for the command to read one."""
    stream = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        pictures = []
        for number in range(1_000):
            author, digit = AUTHORS[number % len(AUTHORS)], number % 10
            pixels = picture(
                lambda height, pen, a=author, d=digit: written(a, d, height, pen, stream), SHEETS[0], stream
            )
            path = Path(folder) / f"{number}.png"
            Image.fromarray(pixels).save(path)
            pictures.append(Picture(path=path, label=digit))
        list(reader.read_files(pictures[:100]))
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            list(reader.read_files(pictures))
            times.append(time.perf_counter() - begun)
        print(f"1,000 pictures of 400x400, without loading the model: {min(times):.1f} to {max(times):.1f} s, n = 3")
        command = [sys.executable, "-m", "cli", "predict", str(pictures[0].path), "--runs", str(runs), "--model", model]
        firsts = []
        for _ in range(5):
            begun = time.perf_counter()
            done = subprocess.run([*command, "--json"], capture_output=True, check=True, text=True)
            firsts.append(time.perf_counter() - begun)
            assert json.loads(done.stdout)["images"]
        print(f"`digits predict` with one picture: {min(firsts):.1f} to {max(firsts):.1f} s, n = 5")


def main() -> None:
    """Run all three measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("model")
    parser.add_argument("--repeats", type=int, default=4)
    asked = parser.parse_args()
    reader = Reader(open_classifier(asked.runs, asked.model))
    print(reader.model.name, reader.model.member_count, "networks", flush=True)
    # Not the test set, so that the ink detection may be tuned on these images.
    single_digits(reader, split_digits(load_digits("mnist")).validation, asked.repeats)
    lines_of_digits(reader, max(1, asked.repeats // 2))
    speed(asked.runs, asked.model, reader)


if __name__ == "__main__":
    main()
