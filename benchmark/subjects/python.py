"""The peer that the product replaces: Python transformers on PyTorch. See run.js for the protocol."""

import json
import re
import sys
import time

import torch
from transformers import pipeline


def peak_memory():
    """The most memory that this process ever held, in MiB; only Linux says it."""
    try:
        with open("/proc/self/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024
    except OSError:
        return None


def timed(action):
    start = time.perf_counter()
    result = action()
    return (time.perf_counter() - start) * 1e3, result


def main():
    request = json.load(sys.stdin)
    texts = request["texts"]
    torch.set_num_threads(request["threads"])
    load_ms, classify = timed(
        lambda: pipeline("text-classification", request["model"], dtype=torch.float32, device="cpu", top_k=None)
    )
    at_load = peak_memory()

    def score(texts):
        verdicts = classify(texts, batch_size=len(texts), truncation=True)
        return [label["score"] for verdict in verdicts for label in verdict if label["label"] == "NEGATIVE"]

    for call in range(request["warmUp"]):
        score([texts[call % len(texts)]])
    batches = [texts] if request["mode"] == "list" else [[text] for text in texts]
    calls = [timed(lambda: score(batch)) for batch in batches]
    print(json.dumps({
        "load_ms": load_ms,
        "times_ms": [time_ms for time_ms, _ in calls],
        "scores": [score for _, scores in calls for score in scores],
        "memory": {"load": at_load, "end": peak_memory()},
    }))


main()
