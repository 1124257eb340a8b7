package monitoring

import (
	"os"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v2"
)

// relabelings returns the metric relabelings of the servers' ServiceMonitor as Prometheus has them.
func relabelings(t *testing.T) []*relabel.Config {
	t.Helper()
	file, err := os.Open(folder + "service_monitors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var monitor struct {
		Metadata struct{ Name string }
		Spec     struct {
			Endpoints []struct {
				MetricRelabelings []struct {
					SourceLabels model.LabelNames `yaml:"sourceLabels"`
					Regex        string
					Action       relabel.Action
					TargetLabel  string `yaml:"targetLabel"`
					Replacement  *string
				} `yaml:"metricRelabelings"`
			}
		}
	}
	decoder := yaml.NewDecoder(file)
	for monitor.Metadata.Name != "eventing-nats" {
		if err := decoder.Decode(&monitor); err != nil {
			t.Fatal(err)
		}
	}
	var all []*relabel.Config
	for _, rule := range monitor.Spec.Endpoints[0].MetricRelabelings {
		config := relabel.DefaultRelabelConfig
		config.SourceLabels = rule.SourceLabels
		config.Regex = relabel.MustNewRegexp(rule.Regex)
		config.TargetLabel = rule.TargetLabel
		config.NameValidationScheme = model.UTF8Validation
		if rule.Action != "" {
			config.Action = rule.Action
		}
		if rule.Replacement != nil {
			config.Replacement = *rule.Replacement
		}
		if err := config.Validate(model.UTF8Validation); err != nil {
			t.Fatal(err)
		}
		all = append(all, &config)
	}
	return all
}

func TestConsumerSeriesAreThoseOfTheLeader(t *testing.T) {
	rules := relabelings(t)
	consumer := func(name, isLeader string) labels.Labels {
		return labels.FromStrings(
			"__name__", name, "account", "$G", "cluster", "eventing-nats", "consumer_desc", "a", "consumer_leader", "n-1",
			"consumer_name", "orders", "is_consumer_leader", isLeader, "is_meta_leader", "true", "is_stream_leader", "true",
			"meta_leader", "n-0", "pod", "n-1", "server_name", "n-1", "stream_leader", "n-1", "stream_name", "sap")
	}
	kept := labels.FromStrings(
		"__name__", "nats_consumer_num_pending", "account", "$G", "consumer_name", "orders", "is_consumer_leader", "true",
		"is_stream_leader", "true", "nats_cluster", "eventing-nats", "pod", "n-1", "server_name", "n-1", "stream_name", "sap")
	other := labels.FromStrings("__name__", "nats_varz_cpu", "cluster", "production", "pod", "n-1")
	for _, test := range []struct {
		name   string
		series labels.Labels
		want   labels.Labels
	}{
		{"leader", consumer("nats_consumer_num_pending", "true"), kept},
		{"follower", consumer("nats_consumer_num_pending", "false"), labels.EmptyLabels()},
		{"unused metric", consumer("nats_consumer_delivered_consumer_seq", "true"), labels.EmptyLabels()},
		{"server in a named cluster", other, other},
	} {
		got, isKept := relabel.Process(test.series, rules...)
		if !isKept {
			got = labels.EmptyLabels()
		}
		if !labels.Equal(got, test.want) {
			t.Errorf("%s: %s", test.name, got)
		}
	}
}
