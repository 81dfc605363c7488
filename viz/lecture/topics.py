"""The topics, in the order of a lecture on recurrent networks: what is said, and which program shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Topic:
    """A section of the page. Everything it shows comes out of its program, run anew when that changes."""

    part: str
    title: str
    program: str  #: below ``examples``
    text: tuple[str, ...]  #: paragraphs
    captions: Mapping[str, str] = field(default_factory=dict)  #: of its figures, by the names of their files
    formula: str = ""  #: as LaTeX
    walk: str = ""  #: a debugger's page that this or another topic's program writes, and the step to open it at


SHAPES, RECURRENCE, LANGUAGE = "Shapes", "The recurrence", "A language of characters"
LEARNING, GATES, LITERATURE = "How gradients flow", "Gates", "The literature"

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
            "What a recurrent network is for depends on where inputs go in and where outputs are read. One input "
            "can start a sequence, a sequence can end in one answer, every step can be answered at once, or a "
            "whole sequence is read before another is written.",
            "In all five pictures the recurrence itself is the same: time runs to the right, inputs come from "
            "below, outputs leave above.",
        ),
        {
            "pattern-one-to-one": "One input, one output, no time.",
            "pattern-one-to-many": "One input starts it; then each output is the next input.",
            "pattern-many-to-one": "Many inputs; only the last state is asked.",
            "pattern-many-to-many": "Many inputs; every state is asked.",
            "pattern-seq2seq": "One network, W₁, reads; another, W₂, writes.",
        },
        walk="pattern-seq2seq.html#k=38",
    ),
    Topic(
        RECURRENCE,
        "One function, applied again and again",
        "recurrence.py",
        (
            "The state is a summary of everything read so far, and one function of the old state and the new "
            "input makes the next one. Unrolling is only bookkeeping: the loop is written out, one box a step, "
            "and the same W reaches each.",
            "So a model of a fixed size takes sequences of any length. What grows with the length is the graph, "
            "and with it time and memory, in proportion.",
        ),
        {
            "recurrence": "The same network twice: folded, its state fed back, and unrolled over four steps.",
            "recurrence-op": "Two of its steps, operation by operation.",
        },
        formula=r"h_t = f_W ( h_{t-1} , x_t ) = \tanh ( W_{hh} h_{t-1} + W_{xh} x_t )",
        walk="recurrence.html#k=15",
    ),
    Topic(
        SHAPES,
        "One to many: spelling what is seen",
        "one_to_many.py",
        (
            "An image goes in once, at the first step; then characters come out, each fed back as the next input, "
            "until the name of the digit is spelt. Captions for photographs are made in this shape.",
        ),
        {
            "one-to-many": "While it learns, the letters of the right name are its inputs.",
            "one-to-many-writing": "When it writes, its best guess is its next input.",
        },
        walk="one-to-many.html#k=30",
    ),
    Topic(
        SHAPES,
        "Many to one: an image read row by row",
        "many_to_one.py",
        (
            "The network sees one row of pixels a step and says at the end which digit it was. Asked after every "
            "row, it shows how its belief forms: some digits are told apart early, others only by their last "
            "rows.",
        ),
        {
            "many-to-one-guesses": "An image, read from above, and the answer after each row: the darker, the surer.",
            "many-to-one": "Eight rows are eight steps, with one answer at the end.",
        },
        walk="many-to-one.html#k=140",
    ),
    Topic(
        SHAPES,
        "Many to one: a text and its kind",
        "text_classification.py",
        (
            "Forty characters of Python's own library, and one question: is this English or code? The state "
            "collects the evidence, and single characters swing it.",
        ),
        {
            "text-classification-beliefs": "Pieces of text, and behind each character the belief so far.",
            "text-classification": "Forty characters are forty steps; those in the middle are left out.",
        },
        walk="text-classification.html#k=748",
    ),
    Topic(
        SHAPES,
        "Many to many: a label for every frame",
        "frame_labels.py",
        (
            "Which way does the ball move? One frame cannot tell; two can. A network with a state labels every "
            "frame, and the same network without one can only guess: this is what memory is worth.",
        ),
        {
            "frame-labels-with-memory": "Frames of a video, and below them what the network says of each.",
            "frame-labels-without-memory": "The same without a state; in brackets, what would have been right.",
            "frame-labels": "A label at every step but the first, before which nothing has moved.",
        },
        walk="frame-labels.html#k=108",
    ),
    Topic(
        SHAPES,
        "Sequence to sequence: read, then write",
        "seq2seq.py",
        (
            "Two networks with weights of their own. The encoder reads a sum such as 12+49, and all it hands over "
            "is the state it ends in; the decoder writes the answer from that, one character at a time. Question "
            "and answer may differ in length, which no earlier shape allows.",
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
            "The vocabulary is h, e, l, o. Reading “hell”, the network learns to give the next character the "
            "highest score, in bold below; then it writes: it draws a character from its scores and reads it as "
            "its next input.",
            "A character goes in as a one-hot vector, and a matrix times a one-hot vector is one of its columns. "
            "An embedding layer takes that column directly: same values, same gradients, without the "
            "multiplications by zero.",
        ),
        {
            "hello-before": "Before training the scores have nothing to do with the targets.",
            "hello-after": "After training each target has the highest score.",
            "hello": "The same numbers in the graph that computes them.",
            "hello-sampling": "Left to itself, it reads what it has written.",
            "hello-embedding": "Two ways to one result: rows of W, and one-hot vectors times W.",
        },
        walk="hello.html#k=3",
    ),
    Topic(
        LANGUAGE,
        "Real text, and what single units follow",
        "char_model.py",
        (
            "The same idea with Python's help pages instead of one word. The samples get better while it learns; "
            "the temperature decides how daring they are. Some units turn out to follow something a reader can "
            "name, such as how far along the line is.",
        ),
        {
            "char-model-loss": "How well the next character is predicted, while three networks learn.",
            "char-model-line-length": "A unit that follows how long the line is already.",
            "char-model-quotes": "A unit that follows quotation marks.",
            "char-model": "The LSTM, unrolled over four characters.",
        },
        walk="char-model.html#k=29",
    ),
    Topic(
        LEARNING,
        "Backpropagation through time",
        "bptt.py",
        (
            "The losses of all steps add up, and the gradient takes every path backwards: down from each loss, "
            "and from right to left along the states. W is used at each step, so each step adds its own "
            "contribution to dL/dW. Those contributions, and not only their sum, are what a debugger should show.",
        ),
        {
            "bptt-backward": "Below the forward pass; above it the backward pass, from right to left.",
            "bptt-shares": "What each time step adds to the gradients of the shared weights.",
        },
        formula=r"\frac{\partial L}{\partial W} = \sum_t \frac{\partial L}{\partial W_t}",
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
            "For long sequences the walk back is cut into windows: the state is carried on, the gradient is not. "
            "That is cheaper, and it is biased, for whatever a window cannot see counts as nothing. How biased "
            "depends on how far back the true gradient reaches.",
        ),
        {
            "truncated": "How far the truncated gradient is from the whole one.",
        },
        walk="bptt.html#k=15",
    ),
    Topic(
        RECURRENCE,
        "What recurrence costs",
        "gradient_flow/tradeoffs.py",
        (
            "One model reads sequences of any length, and it has the same number of weights for each. The price is "
            "paid in time and memory, which grow in proportion to the length, and in patience: a step cannot begin "
            "before the one before it has ended.",
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
            "One step back multiplies the gradient by a Jacobian, and many steps multiply it by many. The usual "
            "rule of thumb looks at the largest singular value of W; exactly it says less. Below 1 it is enough "
            "for the gradient to vanish. Above 1 it is only necessary for it to explode: what counts in the end "
            "is the spectral radius, and a matrix that is not normal can let the gradient grow at first and "
            "vanish later.",
        ),
        {
            "vanishing": "Above: two kinds of W, and what their powers do. Below: what decides in the end, and what "
            "tanh changes.",
        },
        formula=(
            r"\frac{\partial h_T}{\partial h_t} = \frac{\partial h_T}{\partial h_{T-1}} "
            r"\frac{\partial h_{T-1}}{\partial h_{T-2}} \cdot \cdot \cdot \frac{\partial h_{t+1}}{\partial h_t}"
        ),
        walk="vanishing.html#k=80",
    ),
    Topic(
        LEARNING,
        "The same loss, four architectures",
        "gradient_flow/architectures.py",
        (
            "One hundred steps, one loss at the end: how much of it arrives at each state? Fresh networks differ "
            "by orders of magnitude, and between two LSTMs a single number, the forget gate's bias, makes the "
            "difference.",
        ),
        {
            "architectures": "From above: the gradient at each state; the singular values of each step's Jacobian; "
            "their product and its bound; how much of each state reaches each later one.",
        },
        walk="vanishing.html#k=76",
    ),
    Topic(
        LEARNING,
        "Clipping",
        "gradient_flow/clipping.py",
        (
            "When gradients explode, one step can undo all training. Clipping the norm makes the step shorter and "
            "keeps its direction; clipping each value does not keep it. Neither helps a gradient that has "
            "vanished.",
        ),
        {
            "clipping": "Ten runs with each threshold and without, and what clipping does to a direction.",
        },
        walk="bptt.html#k=36",
    ),
    Topic(
        LEARNING,
        "The cliff",
        "gradient_flow/cliff.py",
        (
            "Seen as a landscape over two weights, the loss of a recurrence is flat plains with a wall between "
            "them. At its edge the gradient is enormous, and an unclipped step is thrown far away.",
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
            "The LSTM keeps a second state, c, and changes it by forgetting and adding only: f decides what "
            "stays, i what is written, g what that is, and o how much of c is shown as h. The GRU does with one "
            "state: z mixes the old and the new, r decides how much of the old is looked at.",
            "The thick lines are the carried states. Every box bears its value and its gradient.",
        ),
        {
            "gates-lstm": "The LSTM: two states are carried, c in orange and h in blue.",
            "gates-gru": "The GRU: one state is carried.",
        },
        formula=r"c_t = f_t \odot c_{t-1} + i_t \odot g_t",
        walk="gates-lstm.html#k=29",
    ),
    Topic(
        GATES,
        "The way back through c",
        "gradient_flow/highway.py",
        (
            "From one cell state to the one before, the gradient is multiplied by f, element by element, and by "
            "no matrix. That is exact if the way through h is cut. Left open it carries a share too, which is "
            "measured here. The GRU has such a way through z.",
        ),
        {
            "highway": "What comes back along the gate and what beside it, as the recurrent weights grow.",
        },
        formula=r"\frac{\partial c_t}{\partial c_{t-1}} = f_t",
        walk="gates-lstm.html#k=49",
    ),
    Topic(
        GATES,
        "How long a cell remembers",
        "gradient_flow/memory.py",
        (
            "With f = 1 and i = 0 a cell keeps its content bit for bit for as long as one likes. A gate is rarely "
            "at 1: with the bias b it is about σ(b), and after T steps σ(b)^T is left. So an LSTM makes it easy "
            "to keep a gradient alive. It does not guarantee it, and here is one that lets it vanish. A GRU does all "
            "of it with z.",
        ),
        {
            "memory": "How much of a gradient is left so many steps back, for four biases of the gate.",
        },
        walk="gates-lstm.html#k=34",
    ),
    Topic(
        LITERATURE,
        "Put to the test",
        "tasks/one_seed.py",
        (
            "Tasks that were made to tell networks apart. Adding: fifty numbers go by, two of them are marked, and the "
            "sum of the two is asked for at the end. Copying: ten symbols, a pause of twenty steps, then the same ten "
            "again. Temporal order: two symbols come early among forty that only distract, and at the end their order "
            "is asked for. Who cannot remember can only give the answer that is right on average, the dotted line.",
            "The two LSTMs at temporal order differ in one number, the bias that their forget gates start with. "
            "The last picture is a character model, as small as can be written, reading Python's help once.",
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
)
