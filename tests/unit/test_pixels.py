"""What is done with pixels has the bounds that the files have."""

from __future__ import annotations

import numpy as np
import pytest

from sqlinfer.models.signature import ImagePreparation, ImageStep
from sqlinfer.runtime.pixels import Steps


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (ImageStep("crop", (3, 4), "floor"), "its middle would be 4 x 3 pixels, more than the 11 that are"),
        (ImageStep("share", (3.0, 2.0), "zero"), "its middle would be 4 x 6 pixels, more than the 11 that are"),
        (ImageStep("share", (0.1, 1.0), "zero"), "nothing is left of it when its middle is cut out"),
    ],
)
def test_a_middle_that_cannot_be(step, says):
    with pytest.raises(ValueError, match=says):
        Steps(ImagePreparation(11, steps=(step,)))(np.zeros((2, 2, 3), np.uint8))
