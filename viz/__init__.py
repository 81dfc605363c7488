"""Pictures of unrolled graphs, and the backward pass step by step.

``tg.viz.render(loss, "picture.svg")`` draws; ``tg.viz.debug(loss)`` records a backward pass to walk over;
``tg.viz.flow(loss)`` measures how the gradient flows back through time, ``tg.viz.derive(loss)`` writes down its
equations. In a program that calls nothing else viz, ``import viz`` is the same.
"""

if __name__ == "viz":
    from tinygrad_rnn.module_aliases import enter

    enter()
else:
    from pathlib import Path
    from typing import TYPE_CHECKING

    from tinygrad_rnn.arguments import answering
    from tinygrad_rnn.optional_packages import when_asked
    from tinygrad_rnn.source_line import pass_over

    from .graph.graphviz_program import RenderError
    from .graph.notebook import register
    from .graph.picture import Picture
    from .graph.render import render

    if TYPE_CHECKING:
        from .debugger import debug
        from .equations import derive
        from .gradient_flow import flow

    __all__ = ["Picture", "RenderError", "debug", "derive", "flow", "render"]

    pass_over(Path(__file__).parent)
    register()

    answering(globals())
    #: a picture needs no debugger and no equations
    __getattr__ = when_asked(
        __name__,
        {
            ".debugger": "debug",
            ".debugger.rule_formulas": "rules",
            ".debugger.side_by_side": "SideBySide",
            ".equations": "derive",
            ".gradient_flow": "flow",
            ".graph.value_names": "marks",
        },
    )
