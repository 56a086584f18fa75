"""How many threads to compute with: a fixed number, or whichever of 1 and 2 is faster at the moment on a shared machine."""

import time

import torch


class Pace:
    """Call `tick(tokens)` after every step. With `threads` 0 it tries both and keeps the faster (then runs are not bit-equal)."""

    def __init__(self, threads, trial=6, stay=60):
        self.adapt, self.trial, self.stay = threads == 0, trial, stay
        self.plan = [(1, trial), (2, trial)] if self.adapt else [(threads, None)]
        self.rates = {}
        self.begin()

    def begin(self):
        self.threads, self.left = self.plan.pop(0)
        torch.set_num_threads(self.threads)
        self.tokens, self.start = 0, time.perf_counter()

    def tick(self, tokens):
        if not self.adapt:
            return
        self.tokens += tokens
        self.left -= 1
        if self.left:
            return
        self.rates[self.threads] = self.tokens / (time.perf_counter() - self.start)
        if not self.plan:
            best = max(self.rates, key=self.rates.get)
            self.plan = [(best, self.stay), (3 - best, self.trial)]
        self.begin()
