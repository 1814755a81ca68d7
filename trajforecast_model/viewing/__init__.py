"""Forecasts, prepared windows and reports as one HTML page, which a browser opens from disk: no server, no network."""
