"""What a data scientist already has: a training script that knows MLflow and nothing of Maestro.

Run by the demo in a process of its own, where MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN are all
that points at a server. Prints what it did as JSON.

    python training.py train EXPERIMENT
    python training.py find EXPERIMENT FILTER
    python training.py register RUN_ID MODEL
    python training.py promote MODEL VERSION
    python training.py use MODEL
    python training.py peek EXPERIMENT_ID RUN_ID
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import mlflow
import mlflow.sklearn
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

EPOCHS = 15
SEED = 7


def train(experiment: str) -> list[dict[str, Any]]:
    """Two models on scikit-learn's breast-cancer data: a sensible one and a timid one."""
    mlflow.set_experiment(experiment)
    features, labels = load_breast_cancer(return_X_y=True)
    known, unseen, known_labels, unseen_labels = train_test_split(
        features, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    scaler = StandardScaler().fit(known)
    known, unseen = scaler.transform(known), scaler.transform(unseen)
    done = []
    for name, rate in (("sensible", 0.01), ("timid", 0.00001)):
        with mlflow.start_run(run_name=name) as run:
            mlflow.log_params({"model": "SGDClassifier", "rate": rate, "epochs": EPOCHS})
            mlflow.set_tag("data", "breast-cancer")
            model = SGDClassifier(
                loss="log_loss", learning_rate="constant", eta0=rate, random_state=SEED
            )
            for epoch in range(EPOCHS):
                model.partial_fit(known, known_labels, classes=[0, 1])
                mlflow.log_metric(
                    "loss", log_loss(unseen_labels, model.predict_proba(unseen)), step=epoch
                )
                accuracy = float(model.score(unseen, unseen_labels))
                mlflow.log_metric("accuracy", accuracy, step=epoch)
            mlflow.sklearn.log_model(model, name="model", serialization_format="cloudpickle")
            done.append(
                {
                    "experiment_id": run.info.experiment_id,
                    "run_id": run.info.run_id,
                    "name": name,
                    "accuracy": accuracy,
                    "tested_on": len(unseen_labels),
                }
            )
    return done


def find(experiment: str, wanted: str) -> list[dict[str, Any]]:
    """The runs that a filter finds, with what the server kept of them."""
    client = mlflow.MlflowClient()
    found = mlflow.search_runs(
        experiment_names=[experiment], filter_string=wanted, output_format="list"
    )
    return [
        {
            "run_id": run.info.run_id,
            "name": run.info.run_name,
            "accuracy": run.data.metrics["accuracy"],
            "steps": len(client.get_metric_history(run.info.run_id, "accuracy")),
            "params": run.data.params,
        }
        for run in found
    ]


def register(run_id: str, model: str) -> dict[str, Any]:
    """The model of a run, as a version of a registered one."""
    made = mlflow.register_model(f"runs:/{run_id}/model", model)
    return {"version": int(made.version), "status": made.status}


def promote(model: str, version: str) -> str:
    """What MLflow's client says of an alias that is to move: the error's message, or nothing."""
    try:
        mlflow.MlflowClient().set_registered_model_alias(model, "production", version)
    except MlflowException as refused:
        return f"{refused.error_code}: {refused.message}"
    return ""


def use(model: str) -> dict[str, Any]:
    """Whatever is in production now, on tumours that it never saw."""
    features, labels = load_breast_cancer(return_X_y=True)
    known, unseen, _, unseen_labels = train_test_split(
        features, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    loaded = mlflow.sklearn.load_model(f"models:/{model}@production")
    accuracy = float(loaded.score(StandardScaler().fit(known).transform(unseen), unseen_labels))
    return {"kind": type(loaded).__name__, "accuracy": accuracy}


def peek(experiment_id: str, run_id: str) -> dict[str, Any]:
    """What somebody sees who knows the ids, and has no right to them."""
    client = mlflow.MlflowClient()
    try:
        client.get_run(run_id)
        direct = "found"
    except MlflowException as refused:
        direct = refused.error_code
    return {"found": len(client.search_runs([experiment_id])), "direct": direct}


if __name__ == "__main__":
    verbs: dict[str, Callable[..., Any]] = {
        **{"train": train, "find": find, "register": register},
        **{"promote": promote, "use": use, "peek": peek},
    }
    result = verbs[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(json.dumps(result) + "\n")
