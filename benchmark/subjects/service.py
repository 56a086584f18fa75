"""The service that the product replaces: FastAPI on Python transformers, as its document describes it.

    MODEL=directory THREADS=1 uvicorn service:app --port 5000
"""

import os

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

THRESHOLD = float(os.environ.get("ANOMALY_THRESHOLD", 0.7))

torch.set_num_threads(int(os.environ["THREADS"]))
classify = pipeline("text-classification", os.environ["MODEL"], dtype=torch.float32, device="cpu")
app = FastAPI()


class LogEntry(BaseModel):
    log_id: int
    log_text: str


class AnalysisResult(BaseModel):
    log_id: int
    anomaly_score: float
    is_anomaly: bool
    model_name: str


def analyze(entries):
    verdicts = classify([entry.log_text for entry in entries], truncation=True)
    results = []
    for entry, verdict in zip(entries, verdicts):
        confidence = verdict["score"]
        score = round(confidence if verdict["label"] == "NEGATIVE" else 1 - confidence, 4)
        results.append(AnalysisResult(log_id=entry.log_id, anomaly_score=score, is_anomaly=score >= THRESHOLD, model_name="random"))
    return results


@app.get("/health")
def health():
    return {"status": "healthy", "model_loaded": True, "model_name": "random", "threshold": THRESHOLD}


@app.post("/analyze-log")
def analyze_log(entry: LogEntry) -> AnalysisResult:
    return analyze([entry])[0]


@app.post("/analyze-batch")
def analyze_batch(entries: list[LogEntry]) -> list[AnalysisResult]:
    return analyze(entries)
