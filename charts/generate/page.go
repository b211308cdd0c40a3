package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	installDoc = "docs/install.md"
	alertsFile = "config/monitoring/alerts.yaml"
)

// installPage is docs/install.md with its tables written anew.
func installPage(root string) ([]byte, error) {
	page, err := os.ReadFile(filepath.Join(root, installDoc))
	if err != nil {
		return nil, err
	}
	values, err := documents(filepath.Join(root, chart, "values.yaml"))
	if err != nil {
		return nil, err
	}
	var table strings.Builder
	table.WriteString("| value | default | |\n|---|---|---|\n")
	if err := valueRows(&table, "", values[0]); err != nil {
		return nil, err
	}
	if page, err = between(page, "values", table.String()); err != nil {
		return nil, err
	}
	alerts, err := alertRows(root)
	if err != nil {
		return nil, err
	}
	return between(page, "alerts", alerts)
}

// between replaces what stands between two marks of a page.
func between(page []byte, what, text string) ([]byte, error) {
	begin, end := []byte("<!-- "+what+": make generate -->\n"), []byte("<!-- end of "+what+" -->")
	head, rest, ok := bytes.Cut(page, begin)
	_, tail, closed := bytes.Cut(rest, end)
	if !ok || !closed {
		return nil, fmt.Errorf("%s has no %q or no %q after it", installDoc, strings.TrimSpace(string(begin)), end)
	}
	return bytes.Join([][]byte{head, begin, []byte(text), end, tail}, nil), nil
}

// valueRows writes a row for each value that has a comment; one without is a group of values.
func valueRows(b *strings.Builder, prefix string, values *yaml.Node) error {
	for i := 0; i+1 < len(values.Content); i += 2 {
		key, value := values.Content[i], values.Content[i+1]
		path := prefix + key.Value
		comment := strings.TrimSpace(strings.ReplaceAll(key.HeadComment, "#", ""))
		if comment == "" {
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				return fmt.Errorf("values.yaml: %s has no comment that says what it is", path)
			}
			if err := valueRows(b, path+".", value); err != nil {
				return err
			}
			continue
		}
		text, err := inline(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", path, text, strings.Join(strings.Fields(comment), " "))
	}
	return nil
}

// inline is a value in one line.
func inline(value *yaml.Node) (string, error) {
	var flow func(*yaml.Node)
	flow = func(n *yaml.Node) {
		n.Style |= yaml.FlowStyle
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		for _, c := range n.Content {
			flow(c)
		}
	}
	if value.Kind != yaml.ScalarNode {
		flow(value)
	}
	text, err := write(value)
	return strings.Join(strings.Fields(string(text)), " "), err
}

// alertRows is the table of alerts.
func alertRows(root string) (string, error) {
	objects, err := documents(filepath.Join(root, alertsFile))
	if err != nil {
		return "", err
	}
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr, For string
					Labels           struct{ Severity string }
					Annotations      struct{ Description string }
				}
			}
		}
	}
	if err := objects[0].Decode(&rule); err != nil {
		return "", fmt.Errorf("%s: %w", alertsFile, err)
	}
	var b strings.Builder
	b.WriteString("| alert | severity | when | what it means, and what to do |\n|---|---|---|---|\n")
	for _, group := range rule.Spec.Groups {
		for _, r := range group.Rules {
			when := "`" + strings.ReplaceAll(strings.Join(strings.Fields(r.Expr), " "), "|", "\\|") + "`"
			if r.For != "" {
				when += " for " + r.For
			}
			text := placeholder.Replace(strings.Join(strings.Fields(r.Annotations.Description), " "))
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Alert, r.Labels.Severity, when, text)
		}
	}
	return b.String(), nil
}

// placeholder says what a template of an alert stands for.
var placeholder = strings.NewReplacer(
	"{{ $labels.step }}", "`step`", "{{ $labels.source }}", "`source`", "{{ $labels.role }}", "`role`",
	"{{ $value | humanize }}", "N", `{{ $value | printf "%.0f" }}`, "N", "{{ $value | humanizePercentage }}", "N %", "{{ $value | humanizeDuration }}", "N",
)
