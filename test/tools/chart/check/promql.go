package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
)

func bufferOf(in io.Reader) *bufio.Reader { return bufio.NewReader(in) }

// ofRule are the expressions of a PrometheusRule; other objects have none.
func ofRule(object any) ([]string, error) {
	rule, ok := object.(*monitoringv1.PrometheusRule)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, group := range rule.Spec.Groups {
		for _, r := range group.Rules {
			if r.Alert == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				return nil, fmt.Errorf("alert %q lacks a name, a summary, a description or a severity", r.Alert)
			}
			out = append(out, r.Expr.String())
		}
	}
	return out, nil
}

// ofDashboards are the expressions of the Grafana dashboards in a ConfigMap.
func ofDashboards(data map[string]string) ([]string, error) {
	var out []string
	for name, text := range data {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		var dashboard any
		if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, expressionsIn(dashboard)...)
	}
	return out, nil
}

// expressionsIn are the values of every key "expr", and what a query of label values selects.
func expressionsIn(node any) []string {
	var out []string
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			out = append(out, expressionsIn(child)...)
		}
	case map[string]any:
		for key, child := range n {
			text, isText := child.(string)
			switch {
			case isText && key == "expr":
				out = append(out, text)
			case isText && key == "query" && strings.HasPrefix(text, "label_values("):
				selector := strings.TrimPrefix(text, "label_values(")
				out = append(out, selector[:strings.LastIndex(selector, ",")])
			default:
				out = append(out, expressionsIn(child)...)
			}
		}
	}
	return out
}

// variables of Grafana, and what one stands for.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$namespace", "default", "$name", "dynamo-pd")

// named parses expressions and collects the metrics that they select.
func named(expressions []string, metrics map[string]bool) error {
	for _, text := range expressions {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(variables.Replace(text))
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				metrics[selector.Name] = true
			}
			return nil
		})
	}
	return nil
}
