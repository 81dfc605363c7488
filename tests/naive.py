"""Reverse mode on single numbers, as plainly as it can be said: what the engine must agree with."""

import math


class Number:
    """A value, and the slope of it in each number it was made from."""

    def __init__(self, value, slopes=()):
        self.value = value
        self.slopes = slopes  # pairs: another number, and how fast this one grows with it

    def __add__(self, other):
        return Number(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __sub__(self, other):
        return Number(self.value - other.value, [(self, 1.0), (other, -1.0)])

    def __mul__(self, other):
        return Number(self.value * other.value, [(self, other.value), (other, self.value)])

    def __truediv__(self, other):
        return Number(self.value / other.value, [(self, 1 / other.value), (other, -self.value / other.value**2)])

    def __neg__(self):
        return Number(-self.value, [(self, -1.0)])

    def exp(self):
        return Number(math.exp(self.value), [(self, math.exp(self.value))])

    def sin(self):
        return Number(math.sin(self.value), [(self, math.cos(self.value))])

    def tanh(self):
        return Number(math.tanh(self.value), [(self, 1 / math.cosh(self.value) ** 2)])

    def sigmoid(self):
        return Number(1 / (1 + math.exp(-self.value)), [(self, 1 / (2 + 2 * math.cosh(self.value)))])

    def relu(self):
        return Number(max(self.value, 0.0), [(self, float(self.value > 0))])

    def maximum(self, other):
        mine = 0.5 if self.value == other.value else float(self.value > other.value)
        return Number(max(self.value, other.value), [(self, mine), (other, 1 - mine)])

    def detach(self):
        return Number(self.value)

    def gradients(self):
        """The slope of this number in every number below it, by object: later ones finish before earlier ones."""
        order, seen, pending = [], set(), [(self, False)]
        while pending:
            number, finished = pending.pop()
            if finished:
                order.append(number)
            elif id(number) not in seen:
                seen.add(id(number))
                pending.append((number, True))
                pending.extend((below, False) for below, _ in number.slopes)
        slope = {id(number): 0.0 for number in order}
        slope[id(self)] = 1.0
        for number in reversed(order):
            for below, factor in number.slopes:
                slope[id(below)] += slope[id(number)] * factor
        return slope


def total(numbers):
    """The sum of a list of numbers."""
    result = Number(0.0)
    for number in numbers:
        result = result + number
    return result
