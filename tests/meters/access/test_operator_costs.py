"""Every operator of PyTorch's registry has a cost or is refused, and the costs agree with what the operators fuse."""

import ast
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from sutrolib.measurement.checks import TraceCost
from sutrolib.meters import OperationCount
from sutrolib.meters.access import flops
from sutrolib.meters.access.trace import TorchTrace

RUNS_HERE = ("CPU", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional")


def count(program, grad=False):
    trace = TorchTrace()
    with torch.set_grad_enabled(grad), trace:
        program()
    return sum(trace.operations.values())


def kernels():
    """The ATen operators with a kernel of their own for the CPU, by the name that the table has them under."""
    found = {}
    for full_name in torch._C._dispatch_get_all_op_names():
        namespace, _, name = full_name.partition("::")
        has = {key: torch._C._dispatch_has_kernel_for_dispatch_key(full_name, key) for key in RUNS_HERE}
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(full_name, "CompositeImplicitAutograd")
        if namespace == "aten" and any(has.values()) and not composite:
            packet, _, overload = name.partition(".")
            found[full_name] = getattr(getattr(torch.ops.aten, packet), overload or "default")
    return found


def test_every_operator_of_the_registry_is_costed_or_refused_by_name():
    found, table = kernels(), flops._table()
    assert len(found) > 2000, "the registry is not read any more, so this test shows nothing"
    unlisted = [name for name, func in found.items() if "operators.toml" in str(flops.cost_of(func))]
    assert not unlisted, "say in operators.toml what these cost, or what to use in their place"
    twice = [name for a, b in itertools.combinations(table, 2) for name in table[a].keys() & table[b].keys()]
    assert not twice


def test_every_formula_names_only_what_all_overloads_of_its_operator_have():
    formulas = flops._table()["formulas"]
    for full_name, func in kernels().items():
        packet = func._schema.name.partition("::")[2]
        formula = formulas.get(packet if packet.startswith("__") else packet.rstrip("_"))
        if formula:
            tree = ast.walk(ast.parse(formula.strip(), mode="eval"))
            names = [node for node in tree if isinstance(node, ast.Name)]
            made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            given = {argument.name for argument in func._schema.arguments} | flops._NAMES.keys() | {"written", "size"}
            builtins = {"len", "min", "max", "sum", "map"}
            assert {node.id for node in names} <= given | made | builtins, full_name


def softmax(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def log_softmax(x):
    d = x - x.amax(-1, keepdim=True)
    return d - d.exp().sum(-1, keepdim=True).log()


def norm(x, axes, weight=None, bias=None, running=None):
    centred = x - (mean := x.mean(axes, keepdim=True))
    variance = centred.square().mean(axes, keepdim=True)
    y = centred * (variance + 1e-5).rsqrt()
    if running is not None:
        running.clone().lerp_(mean.flatten(), 0.1)
        running.clone().lerp_(variance.flatten() * 1.01, 0.1)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def logsumexp(x):
    return (x - (top := x.amax(-1, keepdim=True))).exp().sum(-1, keepdim=True).log() + top


X = torch.rand(6, 8)
IMAGE = torch.rand(2, 3, 8, 8)
PROBABILITIES, TARGETS = torch.rand(6, 8) * 0.9 + 0.05, torch.rand(6, 8)
LOGITS = torch.randn(6, 8)


def loop(cell, x):
    state = torch.zeros(x.shape[1], 32)
    state = (state, state) if isinstance(cell, torch.nn.LSTMCell) else state
    for step in x:
        state = cell(step, state)


FUSED = {
    "softmax": (lambda: X.softmax(-1), lambda: softmax(X)),
    "log_softmax": (lambda: X.log_softmax(-1), lambda: log_softmax(X)),
    "layer_norm": (
        lambda: F.layer_norm(X, (8,), torch.ones(8), torch.ones(8)),
        lambda: norm(X, (-1,), torch.ones(8), torch.ones(8)),
    ),
    "layer_norm without weights": (lambda: F.layer_norm(X, (8,)), lambda: norm(X, (-1,))),
    "group_norm": (lambda: F.group_norm(IMAGE, 3), lambda: norm(IMAGE, (2, 3))),
    "instance_norm": (lambda: F.instance_norm(IMAGE), lambda: norm(IMAGE, (2, 3))),
    "batch_norm": (lambda: F.batch_norm(IMAGE, None, None, training=True), lambda: norm(IMAGE, (0, 2, 3))),
    "batch_norm with running statistics": (
        lambda: F.batch_norm(IMAGE, torch.zeros(3), torch.ones(3), training=True),
        lambda: norm(IMAGE, (0, 2, 3), running=torch.zeros(3)),
    ),
    "var": (lambda: X.var(), lambda: (X - X.mean()).square().mean()),
    "logsumexp": (lambda: X.logsumexp(-1), lambda: logsumexp(X)),
    "mse_loss": (lambda: F.mse_loss(X, TARGETS), lambda: (X - TARGETS).square().mean()),
    "bce": (
        lambda: F.binary_cross_entropy(PROBABILITIES, TARGETS),
        lambda: (-(TARGETS * PROBABILITIES.log() + (1 - TARGETS) * (1 - PROBABILITIES).log())).mean(),
    ),
    "bce with logits": (
        lambda: F.binary_cross_entropy_with_logits(LOGITS, TARGETS),
        lambda: ((1 - TARGETS) * LOGITS - F.logsigmoid(LOGITS)).mean(),
    ),
    "avg_pool2d": (lambda: F.avg_pool2d(IMAGE, 2), lambda: IMAGE.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))),
    "max_pool2d": (lambda: F.max_pool2d(IMAGE, 2), lambda: IMAGE.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))),
    "adaptive_avg_pool2d": (
        lambda: F.adaptive_avg_pool2d(IMAGE, 4),
        lambda: IMAGE.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)),
    ),
    "cdist": (
        lambda: torch.cdist(X, X, compute_mode="donot_use_mm_for_euclid_dist"),
        lambda: (X[:, None] - X).square().sum(-1).sqrt(),
    ),
    "allclose": (lambda: torch.allclose(X, X), lambda: torch.isclose(X, X).all()),
    "glu": (lambda: F.glu(X), lambda: X[:, :4] * X[:, 4:].sigmoid()),
    "weight_norm": (
        lambda: torch._weight_norm_interface(X, torch.ones(6, 1)),
        lambda: X * (torch.ones(6, 1) / X.norm(dim=1, keepdim=True)),
    ),
    "embedding_bag": (
        lambda: F.embedding_bag(torch.tensor([1, 2, 3, 4, 5]), X, torch.tensor([0, 3]), mode="sum"),
        lambda: torch.zeros(2, 8).index_add_(0, torch.tensor([0, 0, 0, 1, 1]), X[1:]),
    ),
    "bilinear": (
        lambda: F.bilinear(X, X, torch.ones(4, 8, 8)),
        lambda: (X[:, None, :, None] * torch.ones(4, 8, 8) * X[:, None, None, :]).sum((2, 3)),
    ),
    "index_put": (
        lambda: torch.zeros(9).index_put_((torch.tensor([1, 1, 2]),), torch.ones(()), accumulate=True),
        lambda: torch.zeros(9).index_add_(0, torch.tensor([1, 1, 2]), torch.ones(3)),
    ),
    "index_put by mask": (
        lambda: torch.zeros(2, 3).index_put_((torch.tensor([True, False]),), torch.ones(3), accumulate=True),
        lambda: torch.zeros(3) + 1,
    ),
    "lstm": (
        lambda: torch.nn.LSTM(16, 32)(torch.rand(20, 4, 16)),
        lambda: loop(torch.nn.LSTMCell(16, 32), torch.rand(20, 4, 16)),
    ),
    "lstm without bias, batch first": (
        lambda: torch.nn.LSTM(16, 32, bias=False, batch_first=True)(torch.rand(4, 20, 16)),
        lambda: loop(torch.nn.LSTMCell(16, 32, bias=False), torch.rand(20, 4, 16)),
    ),
    "gru": (
        lambda: torch.nn.GRU(16, 32)(torch.rand(20, 4, 16)),
        lambda: loop(torch.nn.GRUCell(16, 32), torch.rand(20, 4, 16)),
    ),
    "rnn": (
        lambda: torch.nn.RNN(16, 32)(torch.rand(20, 4, 16)),
        lambda: loop(torch.nn.RNNCell(16, 32), torch.rand(20, 4, 16)),
    ),
    "attention": (
        lambda: F.scaled_dot_product_attention(IMAGE, IMAGE, IMAGE),
        lambda: softmax(IMAGE @ IMAGE.transpose(2, 3) * 0.35) @ IMAGE,
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_operator_counts_what_its_steps_count(name):
    fused, steps = FUSED[name]
    assert count(fused) == count(steps) > 0


def test_an_lstm_counts_its_matrix_products():
    products = 20 * 4 * 2 * (16 + 32) * 4 * 32
    assert products == 983_040
    assert count(FUSED["lstm"][0]) == products + 20 * 4 * 32 * 21
    x, lstm = torch.rand(20, 4, 16), torch.nn.LSTM(16, 32)
    assert count(lambda: lstm(x)[0].sum().backward(), grad=True) >= 3 * products


def test_pure_copies_and_fills_count_nothing():
    x, parts = torch.ones(4, 6), (2, 3, 1)
    assert count(lambda: x.unsafe_chunk(2) + x.unsafe_split_with_sizes(parts, 1)) == 0
    assert (
        count(lambda: (torch.block_diag(x, x), torch.diag_embed(x), F.pad(x, (1, 1)), F.pixel_shuffle(x[None], 1))) == 0
    )
    assert count(lambda: torch.ops.aten.select_backward(x[0], x.shape, 0, 1)) == 0
    assert count(lambda: torch.ops.aten.slice_backward(x, [8, 6], 0, 0, 4, 1)) == 0


LEAF = torch.rand(2, 3, 8, 8, requires_grad=True)
SMALL, GROUPED, VOLUME = (
    torch.rand(shape, requires_grad=True) for shape in ((4, 3, 3, 3), (6, 1, 3, 3), (2, 2, 3, 3, 3))
)
PRODUCTS = ("mm", "bmm", "convolution", "convolution_backward")


@pytest.mark.parametrize(
    "program",
    [
        lambda: X @ X.T,
        lambda: torch.einsum("bchw,bcwx->bchx", IMAGE, IMAGE),
        lambda: F.conv1d(LEAF[:, :, 0], SMALL[:, :, 0], padding=1).sum().backward(),
        lambda: F.conv2d(LEAF, SMALL, padding=1, stride=2).sum().backward(),
        lambda: F.conv2d(LEAF, GROUPED, groups=3),  # torch counts the backward pass of groups twice
        lambda: F.conv_transpose2d(LEAF, SMALL.transpose(0, 1)).sum().backward(),
        lambda: F.conv3d(LEAF[:, :2, None], VOLUME, padding=1),
    ],
)
def test_products_are_those_of_torchs_own_counter(program):
    with FlopCounterMode(display=False) as counter:
        program()
    with TorchTrace() as trace:
        program()
    ours = sum(operations for (name, _), operations in trace.operations.items() if name in PRODUCTS)
    assert ours == counter.get_total_flops() > 0


@pytest.mark.parametrize("biased", [False, True])
def test_a_linear_layer_counts_its_bias_if_it_has_one(biased):
    layer = torch.nn.Linear(8, 5, bias=biased)
    with torch.inference_mode():
        assert count(lambda: layer(X)) == 2 * 6 * 8 * 5 + biased * 6 * 5
    assert count(lambda: layer(X), grad=True) == 2 * 6 * 8 * 5 + biased * 6 * 5


def test_attention_counts_the_products_of_torchs_formula():
    shape = tuple(LEAF.shape)
    forward = sdpa_flop_count(shape, shape, shape) + 2 * 3 * 8 * 8 * 6
    backward = sdpa_backward_flop_count(shape, shape, shape, shape) + 2 * 3 * (8 * 8 * 6 + 2 * 8 * 8)
    with TorchTrace() as trace:
        F.scaled_dot_product_attention(LEAF, LEAF, LEAF).sum().backward()
    found = {name: operations for (name, _), operations in trace.operations.items() if "attention" in name}
    assert list(found.values()) == [forward, backward]


def steps_of(optimizer, **options):
    parameters = [torch.nn.Parameter(torch.ones(10)), torch.nn.Parameter(torch.ones(3, 30))]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = optimizer(parameters, **options)
    return count(lambda: [optimizer.step() for _ in range(3)])


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        *(
            (optimizer, {"amsgrad": flag})
            for optimizer in (torch.optim.Adam, torch.optim.AdamW)
            for flag in (False, True)
        ),
        (torch.optim.Adagrad, {}),
        *((torch.optim.SGD, {"momentum": m, "nesterov": flag}) for m, flag in ((0, False), (0.9, False), (0.9, True))),
    ],
)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("maximize", [False, True])
def test_a_fused_optimizer_counts_what_its_loop_counts(optimizer, options, weight_decay, maximize):
    options = options | {"weight_decay": weight_decay, "maximize": maximize, "lr": 0.1}
    fused = steps_of(optimizer, fused=True, **options)
    assert fused == steps_of(optimizer, foreach=False, fused=False, **options) > 0
    if optimizer is not torch.optim.Adagrad:  # its version on lists takes one step more
        assert fused == steps_of(optimizer, foreach=True, **options)


def test_nesterov_with_weight_decay_counts_five_operations_for_each_parameter():
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    # The first step starts the momentum with a copy of the gradient.
    assert steps_of(torch.optim.SGD, fused=True, **options) == 100 * (3 + 5 + 5)


S = torch.eye(8).expand(3, 8, 8)
TALL = torch.rand(3, 10, 4)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (lambda: torch.linalg.cholesky(S), 3 * 8**3 / 3),
        (lambda: torch.linalg.lu_factor(S), 3 * 2 * 8**3 / 3),
        (lambda: torch.linalg.solve(S, TALL[:, :8]), 3 * (2 * 8**3 / 3 + 2 * 8**2 * 4)),
        (lambda: torch.linalg.solve(S[0], TALL[0, :8, 0]), 2 * 8**3 / 3 + 2 * 8**2),
        (lambda: torch.linalg.inv(S), 3 * 2 * 8**3),
        (lambda: torch.linalg.qr(TALL, "r"), 3 * (2 * 10 * 4**2 - 2 * 4**3 / 3)),
        (lambda: torch.linalg.qr(TALL), 3 * 2 * (2 * 10 * 4**2 - 2 * 4**3 / 3)),
        (lambda: torch.linalg.eigh(S), 3 * 9 * 8**3),
        (lambda: torch.linalg.svd(TALL, full_matrices=False), 3 * (14 * 10 * 4**2 + 8 * 4**3)),
        (lambda: torch.linalg.svd(TALL), 3 * (4 * 10**2 * 4 + 8 * 10 * 4**2 + 9 * 4**3)),
        (lambda: torch.linalg.solve_triangular(S, TALL[:, :8], upper=True), 3 * 8**2 * 4),
        (lambda: torch.ormqr(*torch.geqrf(TALL[0]), TALL[0]), 2 * 10 * 16 - 2 * 64 / 3 + 4 * 10 * 4 * 4 - 2 * 4 * 4**2),
        (lambda: torch.fft.fft(torch.zeros(3, 64, dtype=torch.complex64)), 3 * 5 * 64 * 6),
        (lambda: torch.fft.rfft(torch.zeros(3, 64)), 3 * 2.5 * 64 * 6),
        (lambda: torch.fft.irfft(torch.zeros(3, 33, dtype=torch.complex64)), 3 * 2.5 * 64 * 6),
        (lambda: torch.rand(16, 5).sort(0), 16 * 5 * 4),
        (lambda: torch.rand(5, 16).topk(3), 5 * 16 * 2),
        (lambda: torch.isin(torch.arange(100), torch.arange(64)), 164 * 6),
        (lambda: torch.isin(torch.arange(100), 3), 100),
        (lambda: torch.zeros(9).scatter_add(0, torch.tensor([1, 1]), torch.ones(2)), 2),
        (lambda: torch.zeros(9).scatter(0, torch.tensor([1, 1]), torch.ones(2)), 0),
        (lambda: torch.zeros(9).put_(torch.tensor([1, 1]), torch.ones(2), accumulate=True), 2),
        (lambda: F.interpolate(IMAGE, scale_factor=2, mode="bilinear"), 7 * 2 * 3 * 16 * 16),
        (lambda: F.adaptive_max_pool2d(IMAGE, 3), 2 * 3 * (3 + 4 + 3) ** 2),
        (lambda: F.grid_sample(IMAGE, torch.zeros(2, 4, 4, 2), align_corners=False), 2 * 3 * 16 * 7 + 2 * 16 * 18),
    ],
)
def test_formulas_are_the_textbook_ones(program, expected):
    assert count(program) == round(expected)


def test_an_operator_without_a_count_is_refused_where_its_operations_are_read():
    work = torch.rand(4, 4)
    with pytest.raises(ValueError, match=r"aten::linalg_matrix_exp: its count depends on the data"), OperationCount():
        torch.linalg.matrix_exp(work)
    with TorchTrace() as trace:
        torch.linalg.matrix_exp(work)
        F.embedding(torch.tensor([1]), work.clone(), max_norm=0.1)
    assert len(trace.accesses) >= 4
    with pytest.raises(ValueError, match=r"matrix_exp.*; .*embedding_renorm"):
        TraceCost.of(trace)
