"""The two-layer ReLU network trained by hand-written SGD: corner A of the cube.

    h = relu(x W1^T + b1),   out = h W2^T + b2,   loss = mean max(0, 1 - y*out)   (or half the squared error)

Weight decay applies to weights and biases alike, as in the group's first programs. ``update`` is the order of the
updates in one SGD step: ``standard`` computes all gradients and then updates, layer 1 first; ``fused`` updates layer 2
as soon as its old weights are no longer needed, right after dh = dout W2. Both compute the same numbers; the time
between writing and reading a gradient differs (technical sprint #1:
cybertronai.github.io/SutroYaro/google-docs/yaroslav-technical-sprint-1).

With ``features="random"`` W1 and b1 keep their initial values and only layer 2 is trained: a control that shows whether
feature learning is needed.

With ``optimizer="signsgd"`` every parameter moves by lr in the direction of its gradient's sign (Kou et al., Matching
the Statistical Query Lower Bound for k-sparse Parity Problems with Sign SGD, arXiv 2404.12376).

Four fused kernels are registered as PyTorch operators ``sutro::*``. Each reads its inputs once and writes its outputs
once, like one pass over memory, and declares them in its schema, so a meter that watches PyTorch's dispatcher sees the
reads and writes of the running program. Their operations are counted in ``meters/access/operators.toml``, not here:
a model does not state its own cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import Budget, Diverged, Split, Task
from sutrolib.models.fields import CheckedModel, EpochLoop, FittedModel, choice, float_field, int_field


def hinge_grad(out: Tensor, y: Tensor) -> Tensor:
    """Gradient of the mean of max(0, 1 - y*out) in ``out``: -y/samples where y*out < 1, else 0. Shape of ``out``."""
    return (y * out).lt(1).mul(y).mul(-1 / len(out))


def square_grad(out: Tensor, y: Tensor) -> Tensor:
    """Gradient of the mean of (out - y)^2 / 2 in ``out``: (out - y)/samples. Shape of ``out``."""
    return out.sub(y).mul(1 / len(out))


def linear_grad(dout: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``out = h W^T + b`` in W and b, from one pass over dout (samples, outputs) and h (samples, inputs).

    Returns dW of shape (outputs, inputs) and db of shape (outputs,).
    """
    return dout.t().mm(h), dout.sum(0)


def sgd_(p: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
    """p <- (1 - lr*weight_decay) p - lr*grad, in place; a sample axis that ``grad`` has and p lacks is summed."""
    p.mul_(1 - lr * weight_decay).sub_(grad.sum_to_size(p.shape), alpha=lr)


_LIBRARY = torch.library.Library("sutro", "DEF")
for _kernel, _schema in (
    (hinge_grad, "hinge_grad(Tensor out, Tensor y) -> Tensor"),
    (square_grad, "square_grad(Tensor out, Tensor y) -> Tensor"),
    (linear_grad, "linear_grad(Tensor dout, Tensor h) -> (Tensor, Tensor)"),
    (sgd_, "sgd_(Tensor(a!) p, Tensor grad, float lr, float weight_decay) -> ()"),
):
    _LIBRARY.impl(_LIBRARY.define(_schema), _kernel, "CompositeExplicitAutograd")

ops = torch.ops.sutro


@dataclass
class Parameters:
    """Weights and biases: W1 (hidden, n), b1 (hidden,), W2 (1, hidden), b2 (1,). Updated in place."""

    W1: Tensor
    b1: Tensor
    W2: Tensor
    b2: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The network's output of shape (samples, 1) for x of shape (samples, n)."""
        return F.linear(F.linear(x, self.W1, self.b1).relu_(), self.W2, self.b2)


@dataclass(frozen=True)
class FittedNetwork(FittedModel):
    """A trained network."""

    parameters: Parameters

    def predict(self, x: Tensor) -> Tensor:
        """Outputs of shape (samples, 1) for x of shape (samples, n); their sign is the predicted label."""
        with torch.inference_mode():
            return self.parameters.forward(x.to(self.parameters.W1.dtype))


@dataclass(frozen=True)
class TwoLayerNetwork(CheckedModel):
    """A hidden layer of ReLUs and one output, trained by mini-batch SGD.

    A share ``holdout`` of the training samples is set aside. Training stops when the accuracy on these is at least
    ``stop_accuracy`` for ``patience`` epochs in a row, or after ``max_epochs``. The test split is not used.
    """

    hidden: int = int_field(200, "units", 1, 100_000, search=(8, 1000), log=True)
    lr: float = float_field(0.1, 1e-6, 100.0, search=(0.003, 3.0), log=True)
    weight_decay: float = float_field(0.01, 0.0, 1.0, search=(0.0, 0.05))
    batch: int = int_field(32, "samples", 1, 1_000_000, search=(4, 256), log=True)
    update: Literal["standard", "fused"] = choice("standard", "fused")
    optimizer: Literal["sgd", "signsgd"] = choice("sgd", "signsgd")
    loss: Literal["hinge", "square"] = choice("hinge", "square")
    max_epochs: int = int_field(100, "epochs", 1, 1_000_000)
    patience: int = int_field(3, "epochs", 1, 1_000_000, search=(1, 5))
    holdout: float = float_field(0.2, 0.0, 0.9, "share")
    stop_accuracy: float = float_field(1.0, 0.5, 1.0, "share")
    dtype: Literal["float32", "float64"] = choice("float32", "float64")
    features: Literal["learned", "random"] = choice("learned", "random", search=False)

    name: ClassVar[str] = "two-layer network"

    def init_parameters(self, n: int, seed: int) -> Parameters:
        """Fresh parameters for n inputs, uniform in +-1/sqrt(fan_in) (LeCun et al., Efficient BackProp, 1998)."""
        generator = torch.Generator().manual_seed(seed)
        drawn = []
        shapes = (((self.hidden, n), n), ((self.hidden,), n), ((1, self.hidden), self.hidden), ((1,), self.hidden))
        for shape, fan_in in shapes:
            # Draw in float64 so that both precisions start from the same numbers.
            bound = fan_in**-0.5
            uniform = torch.rand(shape, generator=generator, dtype=torch.float64).mul_(2 * bound).sub_(bound)
            drawn.append(self._cast(uniform))
        return Parameters(*drawn)

    def step(self, p: Parameters, x: Tensor, y: Tensor) -> None:
        """One SGD update of ``p`` in place, from a batch x (samples, n) and y (samples, 1)."""
        h_pre = F.linear(x, p.W1, p.b1)
        h = torch.relu(h_pre)
        out = F.linear(h, p.W2, p.b2)
        dout = ops.hinge_grad(out, y) if self.loss == "hinge" else ops.square_grad(out, y)
        dW2, db2 = ops.linear_grad(dout, h)
        if self.features == "random":
            if self.optimizer == "signsgd":
                dW2, db2 = dW2.sign_(), db2.sign_()
            self._update_layer_2(p, dW2, db2)
            return
        dh = p.W2 * dout
        if self.update == "fused" and self.optimizer == "sgd":
            self._update_layer_2(p, dW2, db2)  # dh above needed the old weights
        dh_pre = torch.ops.aten.threshold_backward(dh, h_pre, 0)
        if self.optimizer == "signsgd":
            # The sign needs the whole gradient, so W1 has a gradient buffer here.
            gradients = (dh_pre.t().mm(x), dh_pre.sum(0), dW2, db2)
            for weights, gradient in zip((p.W1, p.b1, p.W2, p.b2), gradients, strict=True):
                ops.sgd_(weights, gradient.sign_(), self.lr, self.weight_decay)
            return
        # Accumulate dh_pre and x directly into W1, without a gradient buffer.
        p.W1.addmm_(dh_pre.t(), x, beta=1 - self.lr * self.weight_decay, alpha=-self.lr)
        ops.sgd_(p.b1, dh_pre, self.lr, self.weight_decay)
        if self.update == "standard":
            self._update_layer_2(p, dW2, db2)

    def _update_layer_2(self, p: Parameters, dW2: Tensor, db2: Tensor) -> None:
        ops.sgd_(p.W2, dW2, self.lr, self.weight_decay)
        ops.sgd_(p.b2, db2, self.lr, self.weight_decay)

    def one_step(self, task: Task, seed: int) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """The first SGD step on the first batch: its buffers by name, in loading order, and the step itself."""
        x, y = self._cast(task.train.x[: self.batch]), self._cast(task.train.y[: self.batch])
        with torch.inference_mode():
            p = self.init_parameters(x.shape[1], seed)
            buffers = {"W1": p.W1, "b1": p.b1, "W2": p.W2, "b2": p.b2, "x": x.clone(), "y": y.clone()}

        def step() -> None:
            with torch.inference_mode():
                self.step(p, buffers["x"], buffers["y"])

        return buffers, step

    def fit(
        self, task: Task, seed: int, budget: Budget | None = None, start: Parameters | None = None
    ) -> FittedNetwork:
        """Train until the accuracy on the held-out samples is reached, ``max_epochs`` are over, or ``budget`` is spent.

        ``start`` is trained further in place, instead of fresh parameters. Raises Diverged if an output is not finite.
        """
        loop = EpochLoop(budget)
        train = Split(self._cast(task.train.x), self._cast(task.train.y))
        held = int(self.holdout * len(train))
        kept = len(train) - held
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            p = start or self.init_parameters(train.x.shape[1], seed)
            for _ in range(self.max_epochs):
                for rows in loop.batches(torch.randperm(kept, generator=generator), self.batch):
                    self.step(p, train.x[rows], train.y[rows])
                out = p.forward(train.x[kept:] if held else train.x)
                if not torch.isfinite(out).all():
                    raise Diverged(f"{self.name} with lr={self.lr:g}: outputs were not finite at step {loop.steps}")
                score = task.score(out, train.y[kept:] if held else train.y)
                if loop.ended(score, self.stop_accuracy, self.patience):
                    break
        return FittedNetwork(p, history=tuple(loop.history), steps=loop.steps)

    def _cast(self, values: Tensor) -> Tensor:
        return values.to(getattr(torch, self.dtype))
