"""The chapters: what to write, what to predict before, and where it is derived.

A chapter's check needs its own file and those of chapters before it, never a later one.
"""

from dataclasses import dataclass, replace

from scratchnet.exercises import image_probes, probes


@dataclass(frozen=True)
class Chapter:
    name: str
    title: str
    file: str  # without ".py"
    functions: tuple  # what is to be written: "Linear.forward"
    section: str  # the anchor in scratchnet/nn/README.md
    question: str  # to predict before one looks
    answer: str
    probe: object = None  # what is compared, a function of `probes`; None for a milestone
    cases: object = None
    gradients: object = None  # what finite differences check as well, a function of `probes`
    milestone: str = ""  # the model whose training it is
    more: tuple = ()  # (file, functions) in other files
    number: int = 0  # from 1, in the order of CHAPTERS
    part: str = ""  # what is enough of a function that a later chapter goes on with

    @property
    def files(self):
        return (self.file, *(file for file, _ in self.more))

    @property
    def written(self):
        """[(file, function), ...] in all its files."""
        pairs = [(self.file, function) for function in self.functions]
        return pairs + [(file, f) for file, functions in self.more for f in functions]


_ROWS = (
    Chapter(
        "linear_forward", "the dense layer, forward", "layers", ("Linear.forward",),
        "1-dense-layer",
        "Two layers without anything between them: what can they compute that one cannot?",
        "Nothing: (x W1 + b1) W2 + b2 = x (W1 W2) + (b1 W2 + b2), which is one layer.",
        probes.linear_forward, probes.linear_cases,
    ),
    Chapter(
        "relu", "ReLU", "layers", ("ReLU.forward", "ReLU.backward"), "2-relu",
        "What happens to the training loss if the mask is taken from dy? And to the accuracy?",
        "It learns next to nothing: 11 % after two epochs, and so you would notice. A ReLU that "
        "leaks a hundredth in the backward pass reaches 96 %, more than the right one.",
        probes.relu, probes.relu_cases,
    ),
    Chapter(
        "softmax_cross_entropy", "softmax cross-entropy, and its stability", "losses",
        ("softmax", "softmax_cross_entropy"), "3-softmax-with-cross-entropy",
        "A network that knows nothing gives every digit a tenth. What is its loss?",
        "log 10 = 2.303 nats. A first loss that is far from it shows a mistake before training.",
        probes.loss, probes.logits_cases, part="return loss, None for now",
    ),
    Chapter(
        "loss_gradient", "the gradient of the loss", "losses", ("softmax_cross_entropy",),
        "3-softmax-with-cross-entropy",
        "What do the ten numbers of a row of dlogits add up to, whatever the logits are?",
        "To 0: p adds up to 1, and so does the onehot vector that is taken from it.",
        probes.loss_gradient, probes.logits_cases,
    ),
    Chapter(
        "linear_backward", "the way back through Linear", "layers", ("Linear.backward",),
        "1-dense-layer",
        "All weights of a layer are equal at the start. Do they stay equal?",
        "Those that lead to one output differ soon, as their inputs do; but the units of a hidden "
        "layer stay copies of one another. That is why weights start at random.",
        probes.linear_backward, probes.linear_cases, probes.linear_gradients,
    ),
    Chapter(
        "chain", "the chain: a network, forward and back", "network",
        ("Network.forward", "Network.backward", "MLP.__init__"), "backpropagation-in-ten-lines",
        "A ReLU behind the logits: what can the network no longer say?",
        "That a class is unlikely: no logit is below 0 any more, and where all are 0 no gradient "
        "passes at all.",
        probes.network, probes.network_cases,
    ),
    Chapter(
        "sgd", "gradient descent, momentum, weight decay", "optim", ("SGD.step",),
        "6-momentum-and-weight-decay",
        "With momentum 0.9 and a gradient that never changes: how long does a step become?",
        "Ten times as long: 1 + 0.9 + 0.81 + ... = 1 / (1 - 0.9).",
        probes.sgd, probes.sgd_cases,
    ),
    Chapter(
        "batches", "pixels and shuffled batches", "batches", ("to_unit_interval", "batches"),
        "the-first-twenty-lines",
        "60,000 images in batches of 32 are 1,875; and how many are 55,000?",
        "1,719: the last holds 24 images. Left out, they would be others in every epoch, and no "
        "loss would show it.",
        probes.batches, probes.batches_cases,
    ),
    Chapter(
        "milestone_mlp", "milestone: your code learns MNIST", "network", (), "",
        "After a single epoch, how many of a hundred digits are right: 50, 80, 95?",
        "About 95. What is left takes the other epochs.",
        milestone="mlp",
    ),
    Chapter(
        "convolution", "convolution as one matrix product", "conv",
        ("unfold", "fold", "conv2d", "conv2d_weight", "conv2d_input", "Conv2d.backward"),
        "4-convolution-as-im2col",
        "A pixel in the middle lies in how many of the 5 by 5 patches? And one in the corner?",
        "In 25, and with a padding of 2 in 9. Its gradient is the sum over all of them.",
        image_probes.conv, image_probes.conv_cases, image_probes.conv_gradients,
    ),
    Chapter(
        "pooling", "max pooling, and a network of it all", "conv",
        ("max_pool", "max_pool_backward", "Flatten.forward", "Flatten.backward"),
        "5-max-pooling",
        "In a window of four zeros, which pixel gets the gradient? How often does that happen?",
        "The first, as in PyTorch. The background of MNIST is 0, so it is most of the windows.",
        image_probes.pooling, image_probes.pooling_cases,
        more=(("cnn", ("CNN.forward",)),),
    ),
    Chapter(
        "milestone_cnn", "milestone: 98.5 %", "cnn", (), "",
        "The CNN has about twice the weights of the MLP. How many times the multiplications?",
        "About 28 times: each weight of a convolution is used at every place of the image.",
        milestone="cnn",
    ),
    Chapter(
        "adam", "Adam", "optim", ("adam_update", "Adam.step"), "7-adam",
        "All gradients become 100 times as large. What does Adam do?",
        "The same as before: m grows by 100, the root of v as well. Gradient descent would step "
        "100 times as far.",
        probes.adam, probes.adam_cases,
    ),
    Chapter(
        "gan_parts", "what a GAN needs: LeakyReLU, tanh, the binary loss", "activations",
        ("LeakyReLU.forward", "LeakyReLU.backward", "Tanh.forward", "Tanh.backward"),
        "8-the-two-losses-of-a-gan",
        "The discriminator says 0.5 of every image. What is its loss?",
        "log 2 = 0.693 nats: that of a coin.",
        image_probes.binary, image_probes.binary_cases,
        more=(("losses", ("binary_cross_entropy",)),),
    ),
    Chapter(
        "gan_steps", "the two steps of a GAN", "gan",
        ("GAN.__init__", "GAN.discriminator_step", "GAN.generator_step", "train_step",
         "discriminator_batch", "generator_batch"),
        "8-the-two-losses-of-a-gan",
        "In the generator's step the gradient passes through the discriminator. Why does that not "
        "change it?",
        "Its optimiser is not asked to step. Let the generator's optimiser have both networks, and "
        "the discriminator learns to be deceived.",
        image_probes.gan, image_probes.gan_cases,
    ),
    Chapter(
        "milestone_gan", "milestone: digits out of noise", "gan", (), "",
        "Which loss should fall in the long run, the generator's or the discriminator's?",
        "Neither: each is as good as the other lets it be. One looks at the digits.",
        milestone="gan",
    ),
    Chapter(
        "kernel", "a matrix product in Numba", "kernel", ("matmul",), "",
        "Three loops have six orders. Does it matter which is innermost?",
        "A great deal: along a row the machine loads eight or sixteen numbers at once, down a "
        "column one.",
    ),
)  # fmt: skip

CHAPTERS = tuple(replace(row, number=number) for number, row in enumerate(_ROWS, start=1))


def by_number(text):
    """Return the Chapter of a number or a name; ValueError, with those there are, for another."""
    for chapter in CHAPTERS:
        if text in (str(chapter.number), chapter.name):
            return chapter
    raise ValueError(f"there is no chapter {text!r}: they go from 1 to {len(CHAPTERS)}")
