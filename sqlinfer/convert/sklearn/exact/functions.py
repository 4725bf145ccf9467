"""Functions of NumPy, as precise as there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sqlinfer.convert.sklearn.exact.writer import Writer

__all__ = ["expm1", "known", "log1p", "normal_deviate"]


def log1p(w: Writer, x: str) -> str:
    """log(1 + x), to the last digits also of small x: what 1 + x loses is made good (W. Kahan's way)."""
    one = w.number(1)
    above = w.add("Add", x, one)
    lost = w.add("Sub", above, one)
    exact = w.add("Equal", lost, w.number(0))
    ratio = w.add("Div", x, w.add("Where", exact, one, lost))
    logs = w.add("Where", exact, x, w.add("Mul", w.add("Log", above), ratio))
    return w.add("Where", w.add("Greater", w.add("Abs", x), w.number(1e15)), w.add("Log", above), logs)


def expm1(w: Writer, x: str) -> str:
    """exp(x) - 1, to the last digits also of small x."""
    one = w.number(1)
    power = w.add("Exp", x)
    less = w.add("Sub", power, one)
    near = w.add("Less", w.add("Abs", x), w.number(0.5))
    log = w.add("Log", w.add("Where", near, power, one))
    exact = w.add("Equal", log, w.number(0))
    small = w.add("Div", w.add("Mul", less, x), w.add("Where", exact, one, log))
    small = w.add("Where", exact, x, small)
    return w.add("Where", near, small, less)


def _node(operator: str) -> Callable[[Writer, str], str]:
    return lambda w, x: w.add(operator, x)


def _square(w: Writer, x: str) -> str:
    return w.add("Mul", x, x)


def _quotient(w: Writer, x: str, divisor: float) -> str:
    return w.add("Div", w.add("Log", x), w.number(divisor))


def _polynomial(w: Writer, x: str, *coefficients: float) -> str:
    """The highest power first."""
    value = w.number(coefficients[0])
    for coefficient in coefficients[1:]:
        value = w.add("Add", w.add("Mul", value, x), w.number(coefficient))
    return value


# Numerators and denominators of M. J. Wichura's algorithm AS 241 (https://doi.org/10.2307/2347330), by distance.
_NEAR = (
    [
        *(2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457),
        *(13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    ],
    [
        *(5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867),
        *(5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
    ],
)
_FAR = (
    [
        *(7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258),
        *(3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    ],
    [
        *(1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459),
        *(0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
    ],
)


def normal_deviate(w: Writer, share: str) -> str:
    """What a normal variable is below with this probability, between 1e-11 and 1 - 1e-11: scipy's norm.ppf."""
    half, away = w.number(0.5), w.add("Sub", share, w.number(0.5))
    inner = w.add("Sub", w.number(0.180625), w.add("Mul", away, away))
    near = w.add("Mul", away, _ratio(w, inner, _NEAR))
    tail = w.add("Where", w.add("Less", away, w.number(0)), share, w.add("Sub", w.number(1), share))
    root = w.add("Sqrt", w.add("Neg", w.add("Log", w.add("Min", tail, half))))
    far = _ratio(w, w.add("Sub", root, w.number(1.6)), _FAR)
    far = w.add("Where", w.add("Less", away, w.number(0)), w.add("Neg", far), far)
    return w.add("Where", w.add("LessOrEqual", w.add("Abs", away), w.number(0.425)), near, far)


def _ratio(w: Writer, x: str, terms: tuple[list[float], list[float]]) -> str:
    return w.add("Div", _polynomial(w, x, *terms[0]), _polynomial(w, x, *terms[1]))


_KNOWN: list[tuple[Any, Callable[[Writer, str], str]]] = [
    (np.log, _node("Log")),
    (np.exp, _node("Exp")),
    (np.sqrt, _node("Sqrt")),
    (np.abs, _node("Abs")),
    (np.fabs, _node("Abs")),
    (np.negative, _node("Neg")),
    (np.sign, _node("Sign")),
    (np.sin, _node("Sin")),
    (np.cos, _node("Cos")),
    (np.tanh, _node("Tanh")),
    (np.floor, _node("Floor")),
    (np.ceil, _node("Ceil")),
    (np.log1p, log1p),
    (np.expm1, expm1),
    (np.square, _square),
    (np.log2, lambda w, x: _quotient(w, x, np.log(2))),
    (np.log10, lambda w, x: _quotient(w, x, np.log(10))),
]


def known(function: Any) -> Callable[[Writer, str], str] | None:
    """What writes a function of NumPy; None for any other."""
    return next((write for other, write in _KNOWN if other is function), None)
