package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// format is how a result is written.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

// String, Set and Type make a flag of it.
func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json|yaml" }
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case asTable, asJSON, asYAML:
		*f = v
		return nil
	}
	return fmt.Errorf("allowed is table, json or yaml")
}

// addOutput adds -o to a command. Its long name is not --output: that is plan's length of an output.
func addOutput(cmd *cobra.Command) *format {
	f := asTable
	cmd.Flags().VarP(&f, "format", "o", "how to print the result")
	return &f
}

// write prints v as JSON or YAML, or with the given function as a table.
func (f format) write(w io.Writer, v any, table func(io.Writer) error) error {
	switch f {
	case asJSON:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case asYAML:
		out, err := yaml.Marshal(v)
		if err == nil {
			_, err = w.Write(out)
		}
		return err
	}
	return table(w)
}
