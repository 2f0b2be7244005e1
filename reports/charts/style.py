"""What all charts share: the palette, and a layout whose colours the page's style sets. Knows no rows and no pages."""

import math

import plotly.graph_objects as go

Figure = go.Figure

# The Okabe-Ito palette: colour-blind readers can distinguish these.
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
# Apart by lightness as well (CIE L* of 20, 36, 46, 59 and 65); in the dark the page swaps them for its --series.
SERIES_COLOURS = ("#1B2A6B", "#8C2D70", BLUE, "#D9730D", "#5AAE7A")
SEQUENTIAL = [[0.0, "#F4F7FB"], [0.5, "#9DB9D9"], [1.0, "#2F5D94"]]  # light to dark
STATUS_STYLE = {"finished": (BLUE, "circle"), "stopped": (ORANGE, "circle-open"), "failed": (VERMILION, "x")}
DIGIT_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, "#8C8C8C", "#7A5195", "#B8A800", "#5D4A3A")
"""No palette keeps ten colours distinct, so the chart labels each digit's points as well."""
MOST_FINE_DECADES = 3


def laid_out(figure: go.Figure, x_title: str, y_title: str, *, height: int = 380) -> go.Figure:
    """Apply the common layout. Colours of text, grid and background come from the page's style, light or dark."""
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


def plain(text: str) -> str:
    """Remove the characters that Plotly would interpret as a tag (it renders links), an entity or a placeholder."""
    return text.translate(str.maketrans("", "", "<>%{}&"))


def log_axis(figure: go.Figure, values: list[float]) -> None:
    """Put the y axis on a log scale, with ticks at 1, 2 and 5 written as plain numbers."""
    figure.update_yaxes(type="log")
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if positive:
        ticks = log_ticks(min(positive), max(positive))
        figure.update_yaxes(tickmode="array", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten around the range; powers of ten only if it spans more than three decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= MOST_FINE_DECADES else (1,)
    return [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
