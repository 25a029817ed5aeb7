"""IPython's settings for the pages that are executed: how their figures look."""

c = get_config()  # noqa: F821

c.HistoryManager.enabled = False
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.rc = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.figsize": (6.4, 3.4),
    "font.size": 10.5,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "recsim",
}
