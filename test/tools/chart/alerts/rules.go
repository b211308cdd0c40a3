package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"
	"sigs.k8s.io/yaml"
)

// A rule is one alerting rule.
type rule struct {
	monitoringv1.Rule
	hold time.Duration // how long it is pending before it fires
}

// readRules reads the alerting rules of all groups of a file.
func readRules(file string) ([]rule, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var groups []monitoringv1.RuleGroup
	if err := yaml.UnmarshalStrict(text, &groups); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var out []rule
	for _, group := range groups {
		for _, r := range group.Rules {
			next := rule{Rule: r}
			if r.For != nil {
				hold, err := model.ParseDuration(string(*r.For))
				if err != nil {
					return nil, fmt.Errorf("%s: for of %s: %w", file, r.Alert, err)
				}
				next.hold = time.Duration(hold)
			}
			if r.KeepFiringFor != nil {
				return nil, fmt.Errorf("%s: %s has keep_firing_for, which is not played here", file, r.Alert)
			}
			out = append(out, next)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no rules", file)
	}
	return out, nil
}

// play evaluates all rules after each scrape.
func play(ctx context.Context, rules []rule, h *History) ([]*Alert, error) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer engine.Close()
	seen := &series{}
	all, active := []*Alert{}, map[string]*Alert{}
	for i, pages := range h.Scrapes {
		since := time.Duration(i) * h.step()
		at := h.start().Add(since)
		if err := seen.scrape(pages, at); err != nil {
			return nil, fmt.Errorf("the scrape at %s: %w", since, err)
		}
		query := func(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
			return instant(ctx, engine, seen, text, at)
		}
		for r := range rules {
			now, err := rules[r].evaluate(ctx, query, at)
			if err != nil {
				return nil, fmt.Errorf("%s at %s: %w", rules[r].Alert, since, err)
			}
			rules[r].advance(now, active, &all, since)
		}
	}
	return all, nil
}

func instant(ctx context.Context, engine *promql.Engine, from *series, text string, at time.Time) (promql.Vector, error) {
	q, err := engine.NewInstantQuery(ctx, from, nil, text, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		return slices.Clone(v), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
	}
	return nil, fmt.Errorf("%s is no vector", text)
}

// evaluate returns the alerts for which the rule's condition holds, by their labels.
func (r *rule) evaluate(ctx context.Context, query template.QueryFunc, at time.Time) (map[string]*Alert, error) {
	vector, err := query(ctx, r.Expr.String(), at)
	if err != nil {
		return nil, err
	}
	out := map[string]*Alert{}
	for _, sample := range vector {
		expand := func(text string) (string, error) {
			const variables = "{{$labels := .Labels}}{{$value := .Value}}"
			return template.NewTemplateExpander(ctx, variables+text, r.Alert, template.AlertTemplateData(sample.Metric.Map(), nil, "", sample),
				model.TimeFromUnixNano(at.UnixNano()), query, &url.URL{}, nil).Expand()
		}
		a := &Alert{Name: r.Alert, Labels: sample.Metric.Map()}
		delete(a.Labels, labels.MetricName)
		maps.Copy(a.Labels, r.Labels)
		for _, text := range []struct {
			into *string
			of   string
		}{{&a.Summary, "summary"}, {&a.Description, "description"}} {
			if *text.into, err = expand(r.Annotations[text.of]); err != nil {
				return nil, fmt.Errorf("%s: %w", text.of, err)
			}
		}
		id := r.Alert + labels.FromMap(a.Labels).String()
		if out[id] != nil {
			return nil, fmt.Errorf("two alerts with the labels %v: Prometheus refuses that", a.Labels)
		}
		out[id] = a
	}
	return out, nil
}

// advance takes the alerts of a rule from one evaluation to the next.
func (r *rule) advance(now, active map[string]*Alert, all *[]*Alert, since time.Duration) {
	for id, a := range active {
		if a.Name == r.Alert && now[id] == nil {
			a.EndedAt = new(since.Seconds())
			delete(active, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		a, fresh := active[id], now[id]
		if a == nil {
			a, active[id] = fresh, fresh
			a.PendingAt = since.Seconds()
			*all = append(*all, a)
		}
		if a.FiringAt == nil && since.Seconds()-a.PendingAt >= r.hold.Seconds() {
			a.FiringAt, a.Summary, a.Description = new(since.Seconds()), fresh.Summary, fresh.Description
		}
	}
}
