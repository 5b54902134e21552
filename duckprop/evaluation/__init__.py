"""How good are the propensities: metrics in NumPy (:mod:`.metrics`) and one HTML file that explains them.

``metrics.evaluate`` gives the figures with their support, ``plots`` draws them (matplotlib, loaded when called),
``report.write_report`` puts both into a page for a marketer and a scientist. Nothing here knows SQL or MXNet.
"""
