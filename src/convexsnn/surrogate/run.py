"""The state of training between two epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from convexsnn.network import Network
from convexsnn.problem import Problem
from convexsnn.surrogate.batches import TrainingData
from convexsnn.surrogate.checkpoint import Epoch, Snapshot
from convexsnn.surrogate.module import TrainableNetwork
from convexsnn.surrogate.settings import SurrogateSettings

# Sequences scored at a time on validation data.
SCORED_AT_ONCE = 512
# Sequences whose gradients are computed at a time: more do not fit a processor's cache. Of a full batch of 6000 it
# takes less than a third of the time (`benchmarks/surrogate.py`) and hardly any memory.
TRAINED_AT_ONCE = {"cpu": 128, "cuda": 8192}


class TrainingRun:
    """Training as far as it has come; everything random in an epoch comes from the seed and the epoch's number.

    Attributes
    ----------
    history : list of Epoch
    best_epoch : int
        0 before the first epoch.
    """

    def __init__(
        self,
        start: Network,
        problem: Problem,
        settings: SurrogateSettings,
        seed: int,
    ) -> None:
        self._settings, self._seed, self._validation = settings, seed, problem.validation
        self._device = start.W.device
        # Dropout silences other neurons in each copy of a sequence.
        if settings.batch_size is None and settings.dropout == 0.0:
            problem = problem.merged_sequences
        self._problem, self._data = problem, TrainingData.of(problem, self._device)
        self._module = TrainableNetwork(start, settings.gradients)
        self._optimizer = _optimizer(self._module, settings)
        self._best = self._weights()
        self.best_epoch = 0
        self.history: list[Epoch] = []

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience has run out."""
        done, patience = len(self.history), self._settings.patience
        out_of_patience = patience is not None and self._validation is not None and done - self.best_epoch >= patience
        return done >= self._settings.epochs or out_of_patience

    def epoch(self, began: float) -> Epoch:
        """Pass over all sequences once, score, and keep the weights when they are the best so far."""
        number = len(self.history) + 1
        generator = torch.Generator(self._device).manual_seed(_mix(self._seed, number))
        objectives, rate = [], self._settings.learning_rate
        batches = list(self._batches(number))
        for i, index in enumerate(batches):
            rate = self._settings.rate((number - 1 + i / len(batches)) / self._settings.epochs)
            objectives.append(self._step(index, rate, generator))
        objective = float(torch.stack(objectives).mean())
        if not math.isfinite(objective):
            raise ValueError(f"the objective is not finite in epoch {number}: lower learning_rate, or set clip_norm")
        score = self._score()
        epoch = Epoch(number, objective, score, rate, time.perf_counter() - began)
        best = max((e.validation_score for e in self.history if e.validation_score is not None), default=-math.inf)
        if score is None or score > best:
            self._best, self.best_epoch = self._weights(), number
        self.history.append(epoch)
        return epoch

    def best_network(self) -> Network:
        """The network of the best epoch."""
        self._module.load_state_dict(self._best)
        return self._module.to_network()

    def snapshot(self) -> Snapshot:
        """All that `restore` needs."""
        states = self._optimizer.state_dict()["state"]
        moments = {f"{i}.{name}": tensor for i, state in states.items() for name, tensor in state.items()}
        return Snapshot(self._weights(), self._best, moments, self.best_epoch, tuple(self.history))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to where `snapshot` was made."""
        self._module.load_state_dict(snapshot.weights)
        self._best = {name: tensor.to(self._device) for name, tensor in snapshot.best.items()}
        whole, state = self._optimizer.state_dict(), {}
        for key, tensor in snapshot.moments.items():
            i, name = key.split(".")
            state.setdefault(int(i), {})[name] = tensor
        self._optimizer.load_state_dict(whole | {"state": state})
        self.best_epoch, self.history = snapshot.best_epoch, list(snapshot.history)

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}

    def _batches(self, number: int) -> Iterator[Tensor]:
        n = len(self._data)
        size = n if self._settings.batch_size is None else self._settings.batch_size
        if size >= n:
            return iter([torch.arange(n, device=self._device)])
        order = torch.randperm(n, generator=torch.Generator().manual_seed(_mix(self._seed, number)))
        return iter(order.to(self._device).split(size))

    def _step(self, index: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        """One step of Adam on the sequences named by `index`; the objective before it."""
        settings, problem, module = self._settings, self._problem, self._module
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        objective = torch.zeros((), device=self._device)
        for piece in index.split(TRAINED_AT_ONCE.get(self._device.type, len(index))):
            batch = self._data.batch(piece)
            S = module(batch.values, batch.lengths, settings.dropout, generator)
            loss = len(piece) / len(index) * (batch.row_weights @ problem.loss.value(S, batch.targets))
            loss.backward()
            objective += loss.detach()
        if settings.path_norm:
            norm = problem.rho * problem.penalty.value(module.W)
            norm.backward()
            objective += norm.detach()
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), settings.clip_norm)
        self._optimizer.step()
        module.clamp_()
        return objective

    @torch.no_grad()
    def _score(self) -> float | None:
        if self._validation is None:
            return None
        sequences = self._validation.sequences
        parts = []
        for start in range(0, len(sequences), SCORED_AT_ONCE):
            part = sequences.take(slice(start, start + SCORED_AT_ONCE)).to(self._device, torch.float32)
            parts.append(self._module(part.values, part.lengths).cpu())
        score = self._validation.score_of(torch.cat(parts).to(torch.float64))
        return score if math.isfinite(score) else None


def _optimizer(module: TrainableNetwork, settings: SurrogateSettings) -> torch.optim.AdamW:
    trained = [p for p in module.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("there is nothing to train: every layer is frozen and the network has no output weights")
    # Matrices decay; leaks, thresholds and biases do not.
    groups = [
        {"params": [p for p in trained if p.ndim == 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim != 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate)


def _mix(seed: int, number: int) -> int:
    """A seed of epoch `number` that other seeds' epochs do not share."""
    return (seed * 1_000_003 + number) % 2**63
