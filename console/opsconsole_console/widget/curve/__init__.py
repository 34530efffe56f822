"""Curves over a step or over time, in braille or blocks: pure modules, and the one widget that paints what they draw.

The way of a curve: `series` keeps its points and the extremes of their blocks, `smoothing` makes a calmer one of it,
`thinning` says what a column of dots has to show, `raster` turns that into dots, `canvas` into cells of several
tones, and `chart` puts scales, grid, axes, legend and cursor round it. `window` is which part of the x axis is seen.
"""
