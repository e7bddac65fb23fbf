"""Trajectories of optimisers and learning-rate schedules: golden/train/{optimizers,schedules}.json.

Needs torch 2.15.0, keras 3.15.1 and numpy 2.4.6; run from the top of the repository:

    KERAS_BACKEND=torch python golden/generate/optimizers.py

A small tanh network (5-4-3-k) on 12 rows in float64; step t takes rows 4t, 4t+1, 4t+2, 4t+3 modulo 12. Gradients
are autograd's. SGD, momentum, Nesterov, Adam, Adagrad and RMSprop are torch.optim's and keras.optimizers';
SAM (Foret et al. 2021, Algorithm 1) and Entropy-SGD (Chaudhari et al. 2017, Algorithm 1) are written here from
the papers, as neither library has them. The noise of Entropy-SGD is the sequence
((7919 k) mod 1000) / 500 - 1, k = 0, 1, ..., one number a parameter and Langevin step.
"""

import json
import os
import platform

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
keras.config.set_floatx("float64")

ROWS, BATCH, STEPS = 12, 4, 50
HIDDEN = [5, 4, 3]
rng = np.random.default_rng(20260611)
INPUTS = np.round(rng.normal(size=(ROWS, 5)), 6)
LABELS = rng.integers(0, 2, size=(ROWS, 1)).astype(float)
CLASSES = rng.integers(0, 3, size=(ROWS, 1)).astype(float)
REALS = np.round(rng.normal(size=(ROWS, 2)), 6)
PROBLEMS = {"bce": (1, LABELS), "ce": (3, CLASSES), "mse": (2, REALS)}


def widths(loss):
    return HIDDEN + [PROBLEMS[loss][0]]


def initial(loss):
    generator = np.random.default_rng(7)
    size = sum(o * (i + 1) for i, o in zip(widths(loss)[:-1], widths(loss)[1:]))
    return np.round(generator.normal(size=size), 6)


def batch_loss(loss, theta, step):
    """Mean loss on the rows of a step."""
    rows = [(BATCH * step + j) % ROWS for j in range(BATCH)]
    h, target = torch.tensor(INPUTS[rows]), torch.tensor(PROBLEMS[loss][1][rows])
    shape, first = widths(loss), 0
    for layer, (i, o) in enumerate(zip(shape[:-1], shape[1:])):
        weight = theta[first : first + o * i].reshape(o, i)
        bias = theta[first + o * i : first + o * (i + 1)]
        first += o * (i + 1)
        h = h @ weight.T + bias
        if layer < len(shape) - 2:
            h = torch.tanh(h)
    if loss == "bce":
        return torch.nn.functional.binary_cross_entropy_with_logits(h, target)
    if loss == "ce":
        return torch.nn.functional.cross_entropy(h, target[:, 0].long())
    return ((h - target) ** 2).sum(1).mean()


def gradient(loss, theta, step):
    leaf = theta.detach().clone().requires_grad_(True)
    value = batch_loss(loss, leaf, step)
    (grad,) = torch.autograd.grad(value, leaf)
    return value.item(), grad


def run_torch(loss, make):
    theta = torch.tensor(initial(loss), requires_grad=True)
    optimizer = make([theta])
    for step in range(STEPS):
        optimizer.zero_grad()
        value = batch_loss(loss, theta, step)
        value.backward()
        optimizer.step()
        yield value.item(), theta.detach().numpy().copy()


def run_keras(loss, optimizer):
    variable = keras.Variable(initial(loss), dtype="float64")
    for step in range(STEPS):
        value, grad = gradient(loss, variable.value, step)
        optimizer.apply([grad], [variable])
        yield value, variable.numpy().copy()


def run_sam(loss, rate, rho, momentum):
    theta = torch.tensor(initial(loss))
    base = torch.optim.SGD([theta], lr=rate, momentum=momentum)
    for step in range(STEPS):
        value, grad = gradient(loss, theta, step)
        climbed = theta + rho * grad / torch.linalg.vector_norm(grad)
        theta.grad = gradient(loss, climbed, step)[1]
        base.step()
        yield value, theta.numpy().copy()


def run_entropy(loss, rate, langevin_steps, langevin_rate, noise, scope, scoping, averaging):
    x = torch.tensor(initial(loss))
    batch, draw, first = 0, 0, None
    for step in range(STEPS):
        gamma = scope * (1 + scoping) ** step
        x_prime, mu = x.clone(), x.clone()
        for inner in range(langevin_steps):
            value, grad = gradient(loss, x_prime, batch)
            first = value if inner == 0 else first
            batch += 1
            eta = torch.tensor([((7919 * (draw + j)) % 1000) / 500 - 1 for j in range(len(x))])
            draw += len(x)
            x_prime = x_prime - langevin_rate * (grad - gamma * (x - x_prime)) + langevin_rate**0.5 * noise * eta
            mu = (1 - averaging) * mu + averaging * x_prime
        x = x - rate * (x - mu)
        yield first, x.numpy().copy()


CASES = []


def case(name, identity, rate, run, loss="bce", preset=None, **hyperparameters):
    trajectory = list(run)
    CASES.append(
        {
            "name": name,
            "optimizer": {"id": identity, "preset": preset, "hyperparameters": hyperparameters},
            "learning_rate": rate,
            "loss": loss,
            "widths": widths(loss),
            "initial": initial(loss).tolist(),
            "losses": [value for value, _ in trajectory],
            "after_1": trajectory[0][1].tolist(),
            "after_50": trajectory[-1][1].tolist(),
        }
    )


sgd = torch.optim.SGD


def main():
    for problem in PROBLEMS:
        case(f"sgd on {problem}", "sgd", 0.1, run_torch(problem, lambda p: sgd(p, lr=0.1)), loss=problem)
    case("sgd with decay", "sgd", 0.1, run_torch("bce", lambda p: sgd(p, lr=0.1, weight_decay=0.01)), weight_decay=0.01)
    case("momentum", "momentum", 0.05, run_torch("bce", lambda p: sgd(p, lr=0.05, momentum=0.9)))
    case(
        "momentum, paper-resnet", "momentum", 0.05, run_torch("bce", lambda p: sgd(p, lr=0.05, momentum=0.9, weight_decay=5e-4)),
        preset="paper-resnet",
    )
    case("momentum on ce", "momentum", 0.05, run_torch("ce", lambda p: sgd(p, lr=0.05, momentum=0.8)), loss="ce", momentum=0.8)
    case("nesterov", "nesterov", 0.05, run_torch("bce", lambda p: sgd(p, lr=0.05, momentum=0.9, nesterov=True)))
    case(
        "nesterov with decay", "nesterov", 0.05,
        run_torch("mse", lambda p: sgd(p, lr=0.05, momentum=0.7, nesterov=True, weight_decay=0.02)),
        loss="mse", momentum=0.7, weight_decay=0.02,
    )
    case("adam, pytorch", "adam", 1e-3, run_torch("bce", lambda p: torch.optim.Adam(p)), preset="pytorch")
    case("adam, paper-resnet", "adam", 0.01, run_torch("bce", lambda p: torch.optim.Adam(p, lr=0.01)), preset="paper-resnet")
    case("adam, large rate", "adam", 0.05, run_torch("ce", lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3)),
         loss="ce", beta1=0.8, beta2=0.95, epsilon=1e-3)
    case("adam, tensorflow", "adam", 1e-3, run_keras("bce", keras.optimizers.Adam()), preset="tensorflow")
    case("adam, tensorflow, large epsilon", "adam", 0.05,
         run_keras("bce", keras.optimizers.Adam(learning_rate=0.05, epsilon=1e-2)),
         preset="tensorflow", epsilon=1e-2)
    case("adagrad, pytorch", "adagrad", 0.01, run_torch("bce", lambda p: torch.optim.Adagrad(p)), preset="pytorch")
    case("adagrad, tensorflow", "adagrad", 1e-3, run_keras("bce", keras.optimizers.Adagrad()), preset="tensorflow")
    case("adagrad, tensorflow, large epsilon", "adagrad", 0.1,
         run_keras("bce", keras.optimizers.Adagrad(learning_rate=0.1, epsilon=1e-2)),
         preset="tensorflow", epsilon=1e-2)
    case("rmsprop, pytorch", "rmsprop", 0.01, run_torch("bce", lambda p: torch.optim.RMSprop(p)), preset="pytorch")
    case("rmsprop, tensorflow", "rmsprop", 1e-3, run_keras("bce", keras.optimizers.RMSprop()), preset="tensorflow")
    case("rmsprop, tensorflow, large epsilon", "rmsprop", 0.01,
         run_keras("bce", keras.optimizers.RMSprop(learning_rate=0.01, epsilon=1e-2)),
         preset="tensorflow", epsilon=1e-2)
    case("sam", "sam", 0.1, run_sam("bce", 0.1, 0.05, 0.0))
    case("sam, foret", "sam", 0.1, run_sam("ce", 0.1, 0.05, 0.9), loss="ce", preset="foret")
    case("entropy-sgd", "entropy-sgd", 1.0, run_entropy("bce", 1.0, 20, 0.1, 1e-4, 1e-4, 1e-3, 0.75))
    case("entropy-sgd, program", "entropy-sgd", 1.0, run_entropy("bce", 1.0, 20, 0.1, 2**0.5 * 1e-4, 1e-4, 1e-3, 0.25),
         preset="chaudhari-program")
    # The hyper-parameters of github.com/Justin-Tan/entropy-sgd-tf at 55adbe6: optimizer.py (defaults), model.py and config.py.
    case("entropy-sgd, tan", "entropy-sgd", 1e-3, run_entropy("bce", 1e-3, 5, 0.1, 1e-4, 1e-3, 0.0, 0.75), preset="tan")
    case("entropy-sgd, tan-script", "entropy-sgd", 0.4, run_entropy("bce", 0.4, 20, 0.12, 1e-4, 8e-3, 8e-4, 0.75),
         preset="tan-script")
    strong = dict(langevin_steps=5, langevin_rate=0.2, noise=0.05, scope=0.3, scoping=0.02, averaging=0.6)
    case("entropy-sgd, strong", "entropy-sgd", 0.7, run_entropy("mse", 0.7, **strong), loss="mse", **strong)

    MADE_BY = {
        "script": "golden/generate/optimizers.py",
        "torch": torch.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


    def schedule(spec, make, epochs=30):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = make(optimizer)
        factors = []
        for _ in range(epochs):
            factors.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return {"schedule": spec, "factors": factors}


    lr = torch.optim.lr_scheduler
    SCHEDULES = [
        schedule([], lambda o: lr.LambdaLR(o, lambda e: 1.0)),
        schedule([{"type": "step", "every": 7, "factor": 0.3}], lambda o: lr.StepLR(o, 7, 0.3)),
        schedule([{"type": "milestones", "epochs": [3, 10, 11], "factor": 0.1}], lambda o: lr.MultiStepLR(o, [3, 10, 11], 0.1)),
        schedule([{"type": "exponential", "factor": 0.96}], lambda o: lr.ExponentialLR(o, 0.96)),
        # PyTorch's own cosine rises again after T_max; training at the floor is what is wanted there.
        schedule([{"type": "cosine", "epochs": 29, "floor": 0.05}], lambda o: lr.CosineAnnealingLR(o, 29, 0.05)),
        schedule([{"type": "warmup", "epochs": 5, "start": 0.1}], lambda o: lr.LinearLR(o, 0.1, 1.0, 5)),
        schedule(
            [{"type": "warmup", "epochs": 5, "start": 0.1}, {"type": "exponential", "factor": 0.9}],
            lambda o: lr.ChainedScheduler([lr.LinearLR(o, 0.1, 1.0, 5), lr.ExponentialLR(o, 0.9)]),
        ),
    ]

    os.makedirs("golden/train", exist_ok=True)
    targets = {loss: values.tolist() for loss, (_, values) in PROBLEMS.items()}
    record = {"made_by": MADE_BY, "batch": BATCH, "inputs": INPUTS.tolist(), "targets": targets, "cases": CASES}
    with open("golden/train/optimizers.json", "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    with open("golden/train/schedules.json", "w") as file:
        json.dump({"made_by": MADE_BY, "cases": SCHEDULES}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
