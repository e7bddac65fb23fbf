"""PyTorch's time for what benches/train.rs and tests/training_mnist.rs train, on one core, in CPU seconds.

    python benches/peers/train_torch.py                     an epoch of plain SGD at 784-40-40-1, 500 rows, batch 32
    python benches/peers/train_torch.py MNIST_DIR           the paper's recipe: 21 networks to zero error on S

Needs torch and numpy. float32, PyTorch's default.
"""

import gzip
import pathlib
import sys
import time

import numpy as np
import torch

torch.set_num_threads(1)


def network():
    net = torch.nn.Sequential(
        torch.nn.Linear(784, 40), torch.nn.ReLU(), torch.nn.Linear(40, 40), torch.nn.ReLU(), torch.nn.Linear(40, 1)
    )
    for layer in net:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
            torch.nn.init.normal_(layer.bias, std=1.0)
    return net


def train(x, y, genuine, max_epochs):
    """Epochs to zero error on the first rows, and CPU seconds."""
    net, loss = network(), torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    start = time.process_time()
    for epoch in range(1, max_epochs + 1):  # noqa: B007
        order = torch.randperm(len(x))
        for first in range(0, len(x), 32):
            rows = order[first : first + 32]
            optimizer.zero_grad()
            loss(net(x[rows])[:, 0], y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            if bool(((net(x[:genuine])[:, 0] > 0) == (y[:genuine] > 0)).all()):
                break
    return net, epoch, time.process_time() - start


def synthetic():
    torch.manual_seed(1)
    x = torch.rand(500, 784)
    y = torch.randint(0, 2, (500,)).float()
    train(x, y, 500, 5)
    _, epochs, seconds = train(x, y, 500, 50)
    print(f"epoch/sgd: {seconds / epochs * 1e3:.2f} ms")


def mnist(folder):
    def idx(name, header):
        path = pathlib.Path(folder) / name
        data = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
        return np.frombuffer(data[header:], np.uint8)

    images = idx("train-images-idx3-ubyte", 16).reshape(-1, 784) / 255
    labels = idx("train-labels-idx1-ubyte", 8) >= 5
    total = 0.0
    for attack in range(0, 301, 50):
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(images))
            torch.manual_seed(seed)
            rows, test = np.r_[order[:500], order[700 : 700 + attack]], order[500:700]
            wrong = np.arange(len(rows)) >= 500
            x, y = torch.tensor(images[rows]).float(), torch.tensor(labels[rows] ^ wrong).float()
            net, epochs, seconds = train(x, y, 500, 10_000)
            with torch.no_grad():
                right = (net(torch.tensor(images[test]).float())[:, 0] > 0) == torch.tensor(labels[test])
            total += seconds
            print(f"attack {attack}, seed {seed}: {epochs} epochs, {seconds:.2f} s, test {right.double().mean():.3f}")
    print(f"21 networks: {total:.2f} CPU seconds")


def main():
    mnist(sys.argv[1]) if len(sys.argv) > 1 else synthetic()


if __name__ == "__main__":
    main()
