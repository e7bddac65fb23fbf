"""Trajectories of TensorFlow 1's optimisers: golden/train/tensorflow_1.json.

Needs tensorflow-cpu 2.21.0 (whose compat.v1.train holds the optimisers of TensorFlow 1 with their own kernels) and
numpy 2.4.6; run from the top of the repository:

    python golden/generate/optimizers_tensorflow_1.py

Networks, rows and steps are those of optimizers.py, read from golden/train/optimizers.json. Forward pass, loss and
gradient are TensorFlow's, in float64; so are the hyper-parameters, which TensorFlow would otherwise round to float32.
"""
import json
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1.train
STEPS = 50
KNOWN = json.load(open("golden/train/optimizers.json"))
INPUTS, BATCH = np.array(KNOWN["inputs"]), KNOWN["batch"]


def real(value):
    return tf.constant(value, tf.float64)


def mean_loss(loss, theta, widths, step):
    rows = [(BATCH * step + j) % len(INPUTS) for j in range(BATCH)]
    h, target, first = real(INPUTS[rows]), real(np.array(KNOWN["targets"][loss])[rows]), 0
    for layer, (i, o) in enumerate(zip(widths[:-1], widths[1:])):
        weight = tf.reshape(theta[first : first + o * i], (o, i))
        h = tf.linalg.matmul(h, weight, transpose_b=True) + theta[first + o * i : first + o * (i + 1)]
        first += o * (i + 1)
        if layer < len(widths) - 2:
            h = tf.tanh(h)
    if loss == "bce":
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=h))
    if loss == "ce":
        labels = tf.cast(target[:, 0], tf.int64)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=h))
    return tf.reduce_mean(tf.reduce_sum((h - target) ** 2, axis=1))


def case(name, identity, rate, optimizer, loss="bce", preset="tensorflow-1", **hyperparameters):
    known = next(known for known in KNOWN["cases"] if known["loss"] == loss)
    theta = tf.Variable(known["initial"], dtype=tf.float64)
    losses, states = [], []
    for step in range(STEPS):
        with tf.GradientTape() as tape:
            value = mean_loss(loss, theta, known["widths"], step)
        optimizer.apply_gradients([(tape.gradient(value, theta), theta)])
        losses.append(float(value))
        states.append(theta.numpy().tolist())
    return {
        "name": name,
        "optimizer": {"id": identity, "preset": preset, "hyperparameters": hyperparameters},
        "learning_rate": rate,
        "loss": loss,
        "widths": known["widths"],
        "initial": known["initial"],
        "losses": losses,
        "after_1": states[0],
        "after_50": states[-1],
    }


def adam(rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    return v1.AdamOptimizer(real(rate), real(beta1), real(beta2), real(epsilon))


cases = [
    case("adam, tensorflow 1", "adam", 1e-3, adam(1e-3)),
    case("adam, tensorflow 1, on ce", "adam", 1e-3, adam(1e-3), loss="ce"),
    case("adam, tensorflow 1, large epsilon", "adam", 0.05, adam(0.05, epsilon=1e-2), epsilon=1e-2),
    case("adagrad, tensorflow 1", "adagrad", 0.01, v1.AdagradOptimizer(real(0.01))),
    case("adagrad, tensorflow 1, on mse", "adagrad", 0.1, v1.AdagradOptimizer(real(0.1), 0.5), loss="mse",
         initial_accumulator=0.5),
    # The authors of the paper ran their fully connected networks with these two as well.
    case("momentum, tensorflow 1", "momentum", 0.01, v1.MomentumOptimizer(real(0.01), real(0.9)), preset="customary"),
    case("sgd, tensorflow 1", "sgd", 0.01, v1.GradientDescentOptimizer(real(0.01)), preset="paper"),
]
made_by = {"script": "golden/generate/optimizers_tensorflow_1.py", "tensorflow": tf.__version__, "numpy": np.__version__}


def main():
    with open("golden/train/tensorflow_1.json", "w") as file:
        record = {"made_by": made_by, "batch": BATCH, "inputs": KNOWN["inputs"], "targets": KNOWN["targets"], "cases": cases}
        json.dump(record, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
