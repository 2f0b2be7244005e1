"""What all charts share: the palette, and the layout that the page's style fills in. No rows, no pages."""

import plotly.graph_objects as go

# Okabe-Ito: colour-blind readers can tell these apart.
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
SERIES_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY)
STATUS_STYLE = {"finished": (BLUE, "circle"), "stopped": (ORANGE, "circle-open"), "failed": (VERMILION, "x")}
DIGIT_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, "#8C8C8C", "#7A5195", "#B8A800", "#5D4A3A")
"""Ten are more than any palette keeps apart: points show their digit as well."""


def laid_out(figure: go.Figure, x_title: str, y_title: str, *, height: int = 380) -> go.Figure:
    """Colours of text, grid and background come from the page's style, which knows light from dark."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 70, "r": 20, "t": 20, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title=x_title, zeroline=False)
    figure.update_yaxes(title=y_title, zeroline=False)
    return figure


def log_axis(figure: go.Figure, values: list[float]) -> None:
    """The y axis on a log scale, with ticks that can be read."""
    figure.update_yaxes(type="log", exponentformat="none")
    if values and max(values) >= 100 * min(values):  # else Plotly's own choice has more ticks to read
        figure.update_yaxes(dtick=1, minor={"ticks": "outside", "dtick": "D1"})
