"""Programs that the tests of the chart and of kind run, from a Go module of their own."""
