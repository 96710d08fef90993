// prometheus-operator, for its CRDs alone: the chart's PodMonitors and rules are held to them in tests/monitoring.
module tidegate.dev/monitoring

go 1.26.6

require github.com/prometheus-operator/prometheus-operator v0.79.2
