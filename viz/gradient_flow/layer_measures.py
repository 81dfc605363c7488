"""The measures of one recurrent layer."""

from __future__ import annotations

from dataclasses import dataclass, field

Series = dict[int, float]


@dataclass(frozen=True)
class Layer:
    """One recurrent layer of one network; time steps count from 1, and what no gradient reaches is missing."""

    network: str
    name: str
    norms: dict[str, Series] = field(default_factory=dict)  #: by state, {"h": {t: ||dL/dh_t||}}, of an LSTM also "c"
    spectra: dict[int, tuple[float, ...]] = field(default_factory=dict)  #: {t: singular values of ds_t/ds_(t-1)}
    bounds: Series = field(default_factory=dict)  #: of tanh and relu cells, {t: sigma_max(W) * largest slope}
    products: Series = field(default_factory=dict)  #: {t: largest singular value of ds_T/ds_t}
    product_bounds: Series = field(default_factory=dict)  #: {t: the product of the largest ones of single steps}
    reach: dict[int, Series] = field(default_factory=dict)  #: {s: {t: ||dL_s/dh_t||}}, of `state`
    transfer: dict[int, Series] = field(default_factory=dict)  #: {s: {t: largest singular value of ds_s/ds_t}}
    mark: str = ""  #: what its states are told from others' by: ⁽²⁾

    @property
    def state(self) -> str:
        """The name of the state that the rest of the network reads: the first of ``norms``."""
        return next(iter(self.norms), "h")

    @property
    def label(self) -> str:
        """The label in a legend."""
        return " ".join(part for part in (self.network, f"{self.state}{self.mark}" if self.mark else self.name) if part)
