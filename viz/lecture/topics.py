"""The topics, in the order of a lecture on recurrent networks: what is said, and which program shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Topic:
    """A section of the page. Everything it shows comes out of its program, run anew when that changes."""

    part: str
    title: str
    program: str  #: below ``examples``; "" where there is nothing to show
    text: tuple[str, ...]  #: paragraphs
    captions: Mapping[str, str] = field(default_factory=dict)  #: of its figures, by the names of their files
    formulas: tuple[str, ...] = ()  #: as LaTeX
    walk: str = ""  #: a debugger's page that this or another topic's program writes, and the step to open it at
    points: tuple[str, ...] = ()  #: a list below the paragraphs

    @property
    def name(self) -> str:
        """What the command line and the page's addresses call it."""
        return Path(self.program).stem or re.sub(r"\W+", "_", self.title.lower())


SHAPES, RECURRENCE, LANGUAGE = "Shapes", "The recurrence", "A language of characters"
EXAMPLES_OF_SHAPES = "Shapes at work"
LEARNING, GATES, LITERATURE = "How gradients flow", "Gates", "In the end"
BEYOND = "Beyond the LSTM"

TOPICS = (
    Topic(
        SHAPES,
        "One to one: a network without time",
        "one_to_one.py",
        (
            "A plain network maps one vector to one vector: here an image of a handwritten digit to ten scores. "
            "Nothing is remembered from one image to the next. All that follows adds one thing to it, a state.",
        ),
        {
            "one-to-one": "From the pixels x through a hidden layer h to the scores y; |v| is how long each vector is.",
        },
        walk="one-to-one.html#k=3",
    ),
    Topic(
        SHAPES,
        "Five shapes of sequences",
        "patterns.py",
        (
            "What a recurrent network is for depends on where inputs go in and where outputs are read. One input can "
            "start a sequence, a sequence can end in one answer, every step can be answered at once, or a whole "
            "sequence is read before another is written.",
            "In the four pictures with time the recurrence is the same: time runs to the right, inputs come from "
            "below, outputs leave above. The first has none, and is read from left to right.",
        ),
        {
            "pattern-one-to-one": "One input, one output, no time.",
            "pattern-one-to-many": "One input, read at the first step; then each output is the next input: an image "
            "and its caption.",
            "pattern-many-to-one": "Many inputs; only the last state is asked: a video and the action in it.",
            "pattern-seq2seq": "Many to many, one after the other; one network, W₁, reads, another, W₂, writes: a "
            "video and its caption.",
            "pattern-many-to-many": "Many to many at once; every state is asked: a label for every frame of a video.",
        },
        walk="pattern-seq2seq.html#k=38",
    ),
    Topic(
        RECURRENCE,
        "One function, applied again and again",
        "recurrence.py",
        (
            "A recurrent network has an internal state, a vector h, that changes as a sequence is read; each output y "
            "is computed from it. The state is a summary of everything read so far, and one function of the old "
            "state and the new input makes the next one: the same function, with the same parameters, at every time "
            "step. Unrolling is only bookkeeping: the loop is written out, one box a step, and the same W reaches "
            "each.",
            "So a model of a fixed size takes sequences of any length. What grows with the length is the graph, and "
            "with it time and memory, in proportion.",
        ),
        {
            "recurrence": "The same network twice: folded, its state fed back, and unrolled over four steps.",
            "recurrence-op": "Two of its steps, operation by operation.",
        },
        formulas=(
            r"h_t = f_W(h_{t-1}, x_t)",
            r"h_t = \tanh(W_{hh} h_{t-1} + W_{xh} x_t)",
            r"y_t = W_{hy} h_t",
        ),
        walk="recurrence.html#k=15",
    ),
    Topic(
        EXAMPLES_OF_SHAPES,
        "Many to many: a label for every frame",
        "frame_labels.py",
        (
            "Which way does the ball move? One frame cannot tell; two can. A network with a state labels every frame, "
            "and the same network without one can only guess: this is what memory is worth.",
        ),
        {
            "frame-labels-with-memory": "Frames of a video, and below them what the network says of each.",
            "frame-labels-without-memory": "The same without a state; in brackets, what would have been right.",
            "frame-labels": "A label at every step but the first, before which nothing has moved.",
        },
        walk="frame-labels.html#k=108",
    ),
    Topic(
        EXAMPLES_OF_SHAPES,
        "Many to one: an image read row by row",
        "many_to_one.py",
        (
            "The network sees one row of pixels a step and says at the end which digit it was. Asked after every row, "
            "it shows how its belief forms: some digits are told apart early, others only by their last rows.",
        ),
        {
            "many-to-one-guesses": "An image, read from above, and the answer after each row: the darker, the surer.",
            "many-to-one": "Eight rows are eight steps, with one answer at the end.",
        },
        walk="many-to-one.html#k=140",
    ),
    Topic(
        EXAMPLES_OF_SHAPES,
        "Many to one: a text and its kind",
        "text_classification.py",
        (
            "Forty characters of Python's own library, and one question: is this English or code? The state collects "
            "the evidence, and single characters swing it.",
        ),
        {
            "text-classification-beliefs": "Pieces of text, and behind each character the belief so far: orange for "
            "English, blue for Python.",
            "text-classification": "Forty characters are forty steps; those in the middle are left out.",
        },
        walk="text-classification.html#k=198",
    ),
    Topic(
        EXAMPLES_OF_SHAPES,
        "One to many: spelling what is seen",
        "one_to_many.py",
        (
            "An image goes in once, before the first step: it sets the state h₀. Then characters come out, each fed "
            "back as the next input, until the name of the digit is spelt. Captions for photographs are made in this "
            "shape, too; there the image is often the first input instead.",
        ),
        {
            "one-to-many": "While it learns, the letters of the right name are its inputs.",
            "one-to-many-writing": "When it writes, its best guess is its next input.",
        },
        walk="one-to-many.html#k=30",
    ),
    Topic(
        EXAMPLES_OF_SHAPES,
        "Sequence to sequence: read, then write",
        "seq2seq.py",
        (
            "Two networks with weights of their own. The encoder reads a sum such as 12+49, and all it hands over is "
            "the state it ends in; the decoder writes the answer from that, one character at a time. It is many to "
            "one, then one to many, so question and answer may differ in length (Sutskever, Vinyals, Le 2014).",
        ),
        {
            "seq2seq": "Encoder and decoder while they learn; the states c and h are all that is handed over.",
            "seq2seq-writing": "When it answers, the decoder reads what it has written itself.",
        },
        walk="seq2seq.html#k=83",
    ),
    Topic(
        LANGUAGE,
        "hello: the smallest language model",
        "hello.py",
        (
            "The vocabulary is h, e, l, o. Reading “hell”, the network learns to give the next character the highest "
            "score, in bold below. The softmax makes probabilities of the scores; the loss of a step is the negative "
            "logarithm of the target's. Then the network writes: it draws a character by these probabilities and "
            "reads it as its next input.",
            "A character goes in as a one-hot vector, and a matrix times a one-hot vector is one of its columns. So "
            "there is often an embedding layer between the input and the hidden layer, which takes that column "
            "directly: same values, same gradients, without the multiplications by zero.",
        ),
        {
            "hello-before": "Before training the scores have nothing to do with the targets.",
            "hello-after": "After training each target has the highest score.",
            "hello": "The same numbers in the graph that computes them.",
            "hello-softmax": "Writing: what is drawn by the softmax above is the next input below.",
            "hello-sampling": "The same in the graph. Read what is drawn from left to right.",
            "hello-column": "A matrix times a one-hot vector is one of its columns.",
            "hello-embedding": "Two ways to one result in the graph: the column looked up, and the product.",
        },
        formulas=(
            r"p_t = \operatorname{softmax}(y_t), \quad (p_t)_k = \frac{e^{(y_t)_k}}{\sum_j e^{(y_t)_j}}",
            r"L = - \sum_t \log (p_t)_{\text{target of t}}",
        ),
        walk="hello.html#k=3",
    ),
    Topic(
        LANGUAGE,
        "Real text, and what single units follow",
        "char_model.py",
        (
            "The same idea with Python's help pages instead of one word. The samples get better while it learns; the "
            "temperature decides how daring they are. Some units turn out to follow something a reader can name, such "
            "as how far along the line is.",
        ),
        {
            "char-model-loss": "How well the next character is predicted, while three networks learn.",
            "char-model-line-length": "A unit that follows how long the line is already: orange is −1, blue 1.",
            "char-model-quotes": "A unit that follows quotation marks: orange is −1, blue 1.",
            "char-model": "The LSTM, unrolled over four characters.",
        },
        walk="char-model.html#k=29",
    ),
    Topic(
        LEARNING,
        "Backpropagation through time",
        "bptt.py",
        (
            "Forward through the whole sequence to the loss, then backward through the whole sequence to the "
            "gradient. The losses of all steps add up, and the gradient takes every path against its arrows: from "
            "each loss into the state of its step, and from each state to the one before.",
            "W is used at each step. Call its use at step t W_t, as if each step had a copy of its own with the same "
            "values: every copy gets a gradient, and W's is their sum. Those contributions, and not only their sum, "
            "are what a debugger should show.",
        ),
        {
            "bptt-backward": "Below the forward pass; above it the backward pass, from right to left.",
            "bptt-shares": "What each time step adds to the gradients of the shared weights.",
        },
        formulas=(r"\frac{\partial L}{\partial W} = \sum_t \frac{\partial L}{\partial W_t}",),
        walk="bptt.html#k=15",
    ),
    Topic(
        LEARNING,
        "The equations, of this very graph",
        "equations.py",
        (
            "Nobody wrote these down. The backward pass is arithmetic like the forward pass; recorded, it is a graph "
            "too, and cut at everything that has a name it reads as the equations of the textbooks. What repeats from "
            "step to step is written once, for a step t. Rows are sequences of a batch, so the W of a blackboard with "
            "column vectors stands here on the other side.",
        ),
        {
            "equations-rnn": "An RNN: the network, then its gradients from the loss back.",
            "equations-lstm": "An LSTM: its gates have gradients of their own.",
        },
        walk="bptt.html#k=13",
    ),
    Topic(
        LEARNING,
        "Truncated: only so far back",
        "gradient_flow/truncated.py",
        (
            "For long sequences the walk back is cut into windows: the state is carried on, the gradient is not. That "
            "is cheaper, and it is biased, for whatever a window cannot see counts as nothing. How biased depends on "
            "how far back the true gradient reaches.",
        ),
        {
            "truncated": "How far the truncated gradient is from the whole one.",
        },
        walk="bptt.html#k=15",
    ),
    Topic(
        LEARNING,
        "What recurrence costs",
        "gradient_flow/tradeoffs.py",
        (
            "For recurrence: one model reads sequences of any length, and has no more weights for longer ones. What "
            "happens at a step can depend on any step before it. The same weights are applied at every step, so every "
            "input is treated alike, wherever it stands.",
            "Against it: it is slow, for a step cannot begin before the one before it has ended, and time and memory "
            "grow in proportion to the length. And what can depend on a far step, in practice hardly does: the next "
            "topic says why.",
        ),
        {
            "tradeoffs": "The time of a training step, and the number of weights, over the length.",
        },
        walk="recurrence.html#k=1",
    ),
    Topic(
        LEARNING,
        "Vanishing and exploding",
        "gradient_flow/vanishing.py",
        (
            "One step back multiplies the gradient by a Jacobian, and many steps multiply it by many. Each has two "
            "factors: the slope of tanh, which is below 1 everywhere but at 0, and W. The usual rule of thumb looks "
            "at ‖W‖, the largest singular value of W: below 1 vanishing, above 1 exploding. The first half is a "
            "theorem, whatever the states are. The second is not: above 1 is necessary for exploding, and no more.",
            "What decides then? In a linear network it is the spectral radius, in the long run: all its Jacobians are "
            "W, and a W that is not normal can let the gradient grow at first and vanish later. With tanh no number "
            "of W alone decides, for the Jacobians differ from step to step and the slopes are part of them. The W "
            "below in the middle has spectral radius 0, and yet, while its second unit is saturated and its first is "
            "not, the product of thirty Jacobians has a norm of more than 10⁹.",
        ),
        {
            "vanishing": "Above: two kinds of W and what their powers do, and what decides in a linear network. "
            "Below: what tanh takes away, a network with tanh whose W has spectral radius 0, and tanh with its slope.",
        },
        formulas=(
            r"\frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(1 - h_t^2) W_{hh}",
            r"\frac{\partial L}{\partial W} = \sum_T \frac{\partial L_T}{\partial W}, \quad "
            r"\frac{\partial L_T}{\partial W} = \sum_t \frac{\partial L_T}{\partial h_T} "
            r"\frac{\partial h_T}{\partial h_t} \frac{\partial h_t}{\partial W_t}",
            r"\frac{\partial h_T}{\partial h_t} = \frac{\partial h_T}{\partial h_{T-1}} "
            r"\frac{\partial h_{T-1}}{\partial h_{T-2}} \cdots \frac{\partial h_{t+1}}{\partial h_t}",
            r"\left\lVert \frac{\partial h_t}{\partial h_{t-1}} \right\rVert \le \max(1 - h_t^2) \lVert W_{hh} \rVert",
        ),
        walk="vanishing.html#k=80",
    ),
    Topic(
        LEARNING,
        "Clipping",
        "gradient_flow/clipping.py",
        (
            "When gradients explode, one step can undo all training. Clipping the norm makes the step shorter and "
            "keeps its direction; clipping each value does not keep it. Neither helps a gradient that has vanished: "
            "for that the architecture is changed, and gets gates.",
        ),
        {
            "clipping": "Ten runs with each threshold θ and without, and what clipping does to a direction.",
        },
        formulas=(r"g \leftarrow \theta \frac{g}{\lVert g \rVert} \quad \text{if} \; \lVert g \rVert > \theta",),
        walk="bptt.html#k=36",
    ),
    Topic(
        LEARNING,
        "The cliff",
        "gradient_flow/cliff.py",
        (
            "Seen as a landscape over two weights, the loss of a recurrence is flat plains with a wall between them. "
            "At its edge the gradient is enormous, and an unclipped step is thrown far away.",
        ),
        {
            "cliff": "The loss as a landscape, and two ways down from the same place.",
        },
    ),
    Topic(
        GATES,
        "Inside the LSTM and the GRU",
        "gates.py",
        (
            "The LSTM (Hochreiter, Schmidhuber 1997; the forget gate is of 2000) keeps a second state, c, and changes "
            "it by forgetting and adding only. One product with one matrix W of 4d rows and 2d columns, for x and h "
            "of d numbers each, makes four vectors of d numbers. g: how much to write to the cell. i: whether to write "
            "to it. f: whether to erase it. o: how much of it to reveal. (In memory our rows lie in the order i, f, g, "
            "o, as PyTorch's do, and every gate has a bias.)",
            "The GRU (Cho and others 2014) does with one state: z mixes the old and the new, r decides how much of "
            "the old is looked at.",
            "The thick lines are the carried states. Every box bears the norms of its value and its gradient.",
        ),
        {
            "lstm-gates": "Two steps of the LSTM: two states are carried, c in orange and h in blue.",
            "gru-gates": "Two steps of the GRU: one state is carried.",
        },
        formulas=(
            r"h_t = \tanh \left( W \begin{pmatrix} x_t \\ h_{t-1} \end{pmatrix} \right) \quad \text{RNN}",
            r"\begin{pmatrix} i \\ f \\ o \\ g \end{pmatrix} = "
            r"\begin{pmatrix} \sigma \\ \sigma \\ \sigma \\ \tanh \end{pmatrix} "
            r"W \begin{pmatrix} x_t \\ h_{t-1} \end{pmatrix}, \quad W: 4d \times 2d",
            r"c_t = f \odot c_{t-1} + i \odot g, \quad h_t = o \odot \tanh(c_t)",
            r"\begin{pmatrix} r \\ z \end{pmatrix} = \begin{pmatrix} \sigma \\ \sigma \end{pmatrix} "
            r"W \begin{pmatrix} x_t \\ h_{t-1} \end{pmatrix}, \quad W: 2d \times 2d",
            r"n = \tanh(W_{xn} x_t + r \odot W_{hn} h_{t-1}), \quad h_t = (1 - z) \odot n + z \odot h_{t-1}",
        ),
        walk="lstm-gates.html#k=29",
    ),
    Topic(
        GATES,
        "The way back through c",
        "gradient_flow/highway.py",
        (
            "From one cell state straight to the one before, the gradient is multiplied by f, element by element, and "
            "by no matrix W: the Jacobian of this way is a diagonal matrix. The whole ∂c_t/∂c_{t−1} has a second "
            "part, through h_{t−1} and the gates; with that way cut the formula is exact, left open it carries "
            "something too, which is measured here. The GRU has such a direct way through z.",
        ),
        {
            "highway": "What comes back along the gate and what beside it, as the recurrent weights grow.",
        },
        formulas=(
            r"\frac{\partial c_t}{\partial c_{t-1}} = \operatorname{diag}(f_t) \quad "
            r"\text{on the direct way}",
        ),
        walk="lstm-gates.html#k=49",
    ),
    Topic(
        GATES,
        "How long a cell remembers",
        "gradient_flow/memory.py",
        (
            "With f = 1 and i = 0 a cell keeps its content bit for bit for as long as one likes. A gate is rarely at "
            "1: with the bias b it is about σ(b), and after T steps σ(b) to the power T is left. So an LSTM makes it "
            "easier to keep information and gradients over many steps than it is for an RNN, which has to learn a "
            "whole matrix W_hh that does. It does not guarantee it, and here is one that lets it vanish. The same "
            "is true of a GRU and its z.",
        ),
        {
            "memory": "How much of a gradient is left so many steps back, for four biases of the gate.",
        },
        walk="lstm-gates.html#k=34",
    ),
    Topic(
        GATES,
        "The same loss, four architectures",
        "gradient_flow/architectures.py",
        (
            "One hundred steps, one loss at the end: how much of it arrives at each state? Without training, RNN, GRU "
            "and LSTM all lose a third to a half of it at every step. Why are the gated ones no better? Their gates "
            "start near one half, so the direct way halves the gradient, too. Which of the three is worst is a matter "
            "of the seed: in the picture it is the GRU, over ten seeds, in the table, it is the RNN. Gates do not "
            "keep a gradient alive by being there, but by being open: the last LSTM differs from the third in a "
            "single number, its forget gate's bias.",
            "An LSTM has two states and so two curves. ∂L/∂h_t is comparable with the RNN's and the GRU's. ∂L/∂c_t is "
            "what the direct way carries; with an open gate it even grows on its way back, because what comes through "
            "h is added to what f lets through.",
        ),
        {
            "architectures": "From above: the gradient at each state; the singular values of each step's Jacobian; "
            "their product and its bound; how much of each state reaches each later one.",
        },
        walk="vanishing.html#k=76",
    ),
    Topic(
        LITERATURE,
        "Put to the test",
        "tasks/one_seed.py",
        (
            "Tasks that were made to tell networks apart. Adding: fifty numbers go by, two of them are marked, and "
            "the sum of the two is asked for at the end. Copying: ten symbols, a pause of twenty steps, then the same "
            "ten again. Temporal order: two symbols come early among forty that only distract, and at the end their "
            "order is asked for. Who cannot remember can only give the answer that is right on average, the dotted "
            "line.",
            "The two LSTMs at temporal order differ in one number, the bias that their forget gates start with. The "
            "last picture is a character model, as small as can be written, reading Python's help once.",
            "This is one seed of each. All seeds, and what the papers report beside our numbers, are measured by "
            "examples/tasks/run.py.",
        ),
        {
            "adding": "The adding problem.",
            "copy-memory": "Copy memory.",
            "temporal-order": "Temporal order.",
            "min-char-rnn": "The smoothed loss of the character model.",
        },
    ),
    Topic(
        LITERATURE,
        "Summary",
        "",
        (),
        points=(
            "Recurrent networks leave much freedom in what goes in and what comes out: one or many on either side.",
            "A plain RNN is simple: one state, one function, applied again and again. It learns long dependencies "
            "badly.",
            "Its gradient is a product of Jacobians, which can vanish or explode. A largest singular value of W_hh "
            "below 1 makes it vanish; above 1 it may explode.",
            "Against exploding: clip the norm of the gradient.",
            "Against vanishing: add to the state instead of multiplying it. LSTM and GRU do, and are what is commonly "
            "used; it makes keeping a gradient easy, and guarantees nothing.",
            "Better and simpler architectures, and other ways than recurrence to reason over sequences, are looked for "
            "to this day.",
            "So is a better understanding, in theory and by experiment, of why they work.",
        ),
    ),
    Topic(
        BEYOND,
        "Other gates around the same two states",
        "cells/gated.py",
        (
            "Four cells change what goes into the LSTM's gates. With peepholes the gates see the cell state, too "
            "(Gers, Schmidhuber 2000). Coupled gates forget as much as they let in, so that one gate is saved (Greff "
            "and others 2015). Layer normalization brings what goes into the gates, and the cell on its way out, to "
            "one size (Ba, Kiros, Hinton 2016). The sLSTM's input and forget gates are exponentials, which n keeps in "
            "proportion and m from overflowing (Beck and others 2024).",
            "In each of them the direct way from c to the c before is still a product with a gate, element by element.",
        ),
        {
            "cell-peephole-lstm": "Peepholes: c leads into i and f of the next step, and into o of its own.",
            "cell-coupled-lstm": "Coupled: there is no forget gate, but 1 − i.",
            "cell-layer-norm-lstm": "Normalized: what comes from x, what comes from h, and c before it is revealed.",
            "cell-slstm": "sLSTM: c and n are carried in the same way, and h is their quotient.",
        },
        formulas=(
            r"i_t = \sigma(W_{xi} x_t + W_{hi} h_{t-1} + p_i \odot c_{t-1} + b_i) \quad \text{peepholes}",
            r"c_t = (1 - i_t) \odot c_{t-1} + i_t \odot g_t \quad \text{coupled gates}",
            r"h_t = o_t \odot \tanh(\operatorname{norm}(c_t)) \quad \text{layer normalization}",
            r"c_t = f_t \odot c_{t-1} + i_t \odot z_t, \quad n_t = f_t \odot n_{t-1} + i_t \quad \text{sLSTM}",
            r"h_t = o_t \odot c_t \oslash n_t \quad \text{sLSTM}",
        ),
        walk="cell-slstm.html#k=14",
    ),
    Topic(
        BEYOND,
        "Less in the gradient's way",
        "cells/simpler.py",
        (
            "Five cells go the other way and take something out. The minGRU and the minLSTM leave the state out of "
            "their gates (Feng and others 2024), and a diagonal linear recurrence has no gates at all (Orvieto and "
            "others 2023). In all three the state enters linearly and unit by unit, so that the steps need not be "
            "taken one after the other: put into itself, an equation that reaches over one step reaches over two, then "
            "four. A thousand steps are ten passes over the whole sequence, with the same result.",
            "In the IndRNN each unit remembers only itself (Li and others 2018): its Jacobian is a diagonal matrix. "
            "The antisymmetric cell is a small step of a differential equation whose matrix W − Wᵀ has imaginary "
            "eigenvalues only, so that the state neither grows nor shrinks, but for a little friction γ (Chang and "
            "others 2019).",
        ),
        {
            "cell-mingru": "minGRU: z is made of x alone.",
            "cell-minlstm": "minLSTM: two gates, which are divided by their sum.",
            "cell-diagonal": "Diagonal: one number a unit, the same at all steps.",
            "cell-indrnn": "IndRNN: a vector where the RNN has a matrix.",
            "cell-antisymmetric": "Antisymmetric: the state is carried unchanged, and a small step is added to it.",
        },
        formulas=(
            r"h_t = (1 - z_t) \odot h_{t-1} + z_t \odot W_n x_t, \quad z_t = \sigma(W_z x_t) \quad \text{minGRU}",
            r"h_t = a_t \odot h_{t-1} + b_t = a_t \odot a_{t-1} \odot h_{t-2} + (a_t \odot b_{t-1} + b_t)",
            r"h_t = \operatorname{relu}(W x_t + u \odot h_{t-1} + b) \quad \text{IndRNN}",
            r"h_t = h_{t-1} + \epsilon \tanh((W - W^\top - \gamma I) h_{t-1} + V x_t + b) \quad \text{antisymmetric}",
        ),
        walk="cell-mingru.html#k=7",
    ),
    Topic(
        BEYOND,
        "Twelve cells compared",
        "cells/compared.py",
        (
            "How far does a gradient reach, and what is learnt? In the picture no network has been trained: the loss "
            "is at the last of thirty steps. Most gated cells start with their gates half open and lose a third to a "
            "half of the gradient a step, as the RNN does. Diagonals near 1 lose a sixth and an eighth of it. Where "
            "only a small step is added, or the gates' inputs are normalized, next to nothing is lost.",
            "The table, which examples/cells/run.py has measured, shows that this is not all. The antisymmetric cell "
            "keeps its gradient and does not learn to add in so short a time; the GRU loses it at first, and does. "
            "Three seeds and a short budget rank nobody.",
        ),
        {
            "cells-flow": "The gradient at each state, before training: each cell in its panel, the others in grey.",
        },
        walk="cell-mingru.html#k=7",
    ),
    Topic(
        BEYOND,
        "Attention: looking back at all states",
        "cells/attention.py",
        (
            "The decoder of a sequence-to-sequence network gets everything through one vector. With attention "
            "(Bahdanau, Cho, Bengio 2015) it looks back at all states of the encoder: each is scored against the "
            "decoder's own, a softmax makes weights of the scores, and the mean weighted by them is a further input. "
            "So there is a short way for the gradient from each output to each input, however long the sequence.",
            "The weights can be looked at. A row below belongs to one character that is written, and shows which of "
            "those that were read it looked at; with additions a digit of the answer needs digits of both numbers.",
        ),
        {
            "attention-weights": "The weights while an addition is answered: each row adds up to 1.",
            "attention": "The graph: every state of the encoder leads into every step of the decoder.",
        },
        formulas=(
            r"e_{tj} = v^\top \tanh(W s_{t-1} + U h_j)",
            r"\alpha_t = \operatorname{softmax}(e_t), \quad k_t = \sum_j \alpha_{tj} h_j",
        ),
        walk="attention.html#k=31",
    ),
    Topic(
        LITERATURE,
        "References",
        "",
        (),
        points=(
            "J. L. Elman (1990), Finding Structure in Time, Cognitive Science 14",
            "P. J. Werbos (1990), Backpropagation Through Time: What It Does and How to Do It, Proceedings of the "
            "IEEE 78",
            "Y. Bengio, P. Simard, P. Frasconi (1994), Learning Long-Term Dependencies with Gradient Descent Is "
            "Difficult, IEEE Transactions on Neural Networks 5",
            "S. Hochreiter, J. Schmidhuber (1997), Long Short-Term Memory, Neural Computation 9",
            "F. A. Gers, J. Schmidhuber, F. Cummins (2000), Learning to Forget: Continual Prediction with LSTM, "
            "Neural Computation 12",
            "F. A. Gers, J. Schmidhuber (2000), Recurrent Nets that Time and Count, IJCNN",
            "R. Pascanu, T. Mikolov, Y. Bengio (2013), On the Difficulty of Training Recurrent Neural Networks, ICML",
            "K. Cho and others (2014), Learning Phrase Representations using RNN Encoder–Decoder for Statistical "
            "Machine Translation, EMNLP",
            "I. Sutskever, O. Vinyals, Q. V. Le (2014), Sequence to Sequence Learning with Neural Networks, NIPS",
            "D. Bahdanau, K. Cho, Y. Bengio (2015), Neural Machine Translation by Jointly Learning to Align and "
            "Translate, ICLR",
            "K. Greff and others (2015), LSTM: A Search Space Odyssey, arXiv:1503.04069",
            "J. L. Ba, J. R. Kiros, G. E. Hinton (2016), Layer Normalization, arXiv:1607.06450",
            "S. Li and others (2018), Independently Recurrent Neural Network, CVPR",
            "B. Chang, M. Chen, E. Haber, E. H. Chi (2019), AntisymmetricRNN, ICLR",
            "A. Orvieto and others (2023), Resurrecting Recurrent Neural Networks for Long Sequences, ICML",
            "M. Beck and others (2024), xLSTM: Extended Long Short-Term Memory, arXiv:2405.04517",
            "L. Feng and others (2024), Were RNNs All We Needed?, arXiv:2410.01201",
            "A. Karpathy (2015), The Unreasonable Effectiveness of Recurrent Neural Networks, blog post",
        ),
    ),
)
