package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/config/crd"
	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

const apiHead = `# API reference: PDAutoscaler

<!-- Written by docs/generate from the CustomResourceDefinition in config/crd: make generate. -->

%[1]s

Group ` + "`%[2]s`, version `%[3]s`, kind `%[4]s`, short name `%[5]s`" + `, namespaced. ` + "`kubectl explain %[5]s.spec`" + ` says the same on a cluster. A
PDAutoscaler that breaks a rule below is refused by the API server with the sentence given here; a field that does not exist is
refused as well (` + "`kubectl` checks strictly by default" + `).

A **duration** is text such as ` + "`500ms`, `10s` or `2m30s`" + `. Fields that must be set come first in each table.

## Annotations and the finalizer

| name | on | meaning |
|---|---|---|
| ` + "`%[6]s`" + ` | PDAutoscaler | Nothing is written to the target while it is there, whatever its value; the value is shown as the reason. |
| ` + "`%[7]s`" + ` | Secret | Lists the hosts (host:port, separated by commas) that the Secret may be sent to. |
| ` + "`%[8]s`" + ` | PDAutoscaler (finalizer) | Holds a deleted PDAutoscaler until a move of GPUs or a drain that has begun is over. |

## What kubectl get pda prints

| column | from | |
|---|---|---|
`

// apiPage is docs/api.md.
func apiPage() (string, error) {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(crd.PDAutoscalers, &definition); err != nil {
		return "", fmt.Errorf("the definition in config/crd: %w", err)
	}
	spec := definition.Spec
	if len(spec.Versions) != 1 {
		return "", fmt.Errorf("the definition has %d versions: this page is about one", len(spec.Versions))
	}
	version := spec.Versions[0]
	root := version.Schema.OpenAPIV3Schema
	var b strings.Builder
	fmt.Fprintf(&b, apiHead, words(root.Description), spec.Group, version.Name, spec.Names.Kind, spec.Names.ShortNames[0],
		v1alpha1.PausedAnnotation, v1alpha1.SecretHostsAnnotation, v1alpha1.MoveFinalizer)
	for _, c := range version.AdditionalPrinterColumns {
		wide := ""
		if c.Priority > 0 {
			wide = " with `-o wide`"
		}
		fmt.Fprintf(&b, "| %s%s | `%s` | %s |\n", c.Name, wide, c.JSONPath, c.Description)
	}
	reference := apiReference{out: &b, known: map[string]string{}}
	for _, part := range []string{"spec", "status"} {
		schema := root.Properties[part]
		if err := reference.write(part, &schema); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// apiReference writes a section for each kind of object in a schema. What has
// the same fields as something before it is a link to that.
type apiReference struct {
	out   *strings.Builder
	known map[string]string // heading by fields
}

// later is an object whose section comes after the one that it is a field of.
type later struct {
	heading string
	schema  *apiextensionsv1.JSONSchemaProps
}

func (r *apiReference) write(heading string, schema *apiextensionsv1.JSONSchemaProps) error {
	fmt.Fprintf(r.out, "\n## %s\n\n%s\n", heading, words(schema.Description))
	for i, rule := range schema.XValidations {
		if i == 0 {
			r.out.WriteByte('\n')
		}
		fmt.Fprintf(r.out, "- Rule: %s.\n", strings.TrimSuffix(words(rule.Message), "."))
	}
	r.out.WriteString("\n| field | type | default | allowed | meaning |\n|---|---|---|---|---|\n")
	var sections []later
	for _, name := range fieldOrder(schema) {
		field := schema.Properties[name]
		section, text, err := r.typeOf(heading+"."+name, &field)
		if err != nil {
			return err
		}
		if section != nil {
			sections = append(sections, *section)
		}
		required := ""
		if slices.Contains(schema.Required, name) {
			required = " (required)"
		}
		fmt.Fprintf(r.out, "| `%s`%s | %s | %s | %s | %s |\n", name, required, text, defaultOf(&field), cell(allowed(&field)), cell(r.meaning(schema, name)))
	}
	for _, s := range sections {
		if err := r.write(s.heading, s.schema); err != nil {
			return err
		}
	}
	return nil
}

// meaning is a field's description. One that has none is often described with
// the field before it: "from and to are ...".
func (r *apiReference) meaning(schema *apiextensionsv1.JSONSchemaProps, name string) string {
	if text := words(schema.Properties[name].Description); text != "" {
		return text
	}
	for _, other := range fieldOrder(schema) {
		text := words(schema.Properties[other].Description)
		if strings.Contains(text, "and "+name+" ") || strings.Contains(text, "until "+name+",") {
			return "See `" + other + "`."
		}
	}
	return ""
}

// typeOf names a field's type, and the section to write where it is an object not met before.
func (r *apiReference) typeOf(path string, field *apiextensionsv1.JSONSchemaProps) (*later, string, error) {
	switch {
	case field.Type == "array":
		section, text, err := r.typeOf(path, field.Items.Schema)
		return section, "list of " + text, err
	case field.Type == "object" && field.AdditionalProperties != nil:
		section, text, err := r.typeOf(path, field.AdditionalProperties.Schema)
		return section, "map of " + text, err
	case field.Type == "object" && len(field.Properties) > 0:
		fields, err := json.Marshal(field.Properties)
		if err != nil {
			return nil, "", err
		}
		if known, found := r.known[string(fields)]; found {
			return nil, link(known), nil
		}
		r.known[string(fields)] = path
		return &later{path, field}, link(path), nil
	case isDuration(field):
		return nil, "duration", nil
	case field.Format == "date-time":
		return nil, "time", nil
	}
	return nil, field.Type, nil
}

// fieldOrder is what must be set first, then the others by name.
func fieldOrder(schema *apiextensionsv1.JSONSchemaProps) []string {
	return slices.SortedFunc(maps.Keys(schema.Properties), func(a, b string) int {
		required := func(name string) int {
			if slices.Contains(schema.Required, name) {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(required(a), required(b)), cmp.Compare(a, b))
	})
}

func isDuration(field *apiextensionsv1.JSONSchemaProps) bool {
	return slices.ContainsFunc(field.XValidations, func(v apiextensionsv1.ValidationRule) bool {
		return strings.Contains(v.Message, "must be a positive duration")
	})
}

func link(heading string) string { return "[" + heading + "](#" + anchor(heading) + ")" }

// anchor is what a heading of a Markdown page is linked by.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), ".", "")
}

func defaultOf(field *apiextensionsv1.JSONSchemaProps) string {
	if field.Default == nil || string(field.Default.Raw) == "{}" {
		return ""
	}
	return "`" + strings.Trim(string(field.Default.Raw), `"`) + "`"
}

// allowed says what a value may be, beyond its type.
func allowed(field *apiextensionsv1.JSONSchemaProps) string {
	if field.Type == "array" && field.Items.Schema.Type != "object" {
		text := allowed(field.Items.Schema)
		if field.MaxItems != nil {
			text = strings.TrimPrefix(text+fmt.Sprintf("; at most %d", *field.MaxItems), "; ")
		}
		return text
	}
	var all []string
	for _, v := range field.Enum {
		all = append(all, "`"+strings.Trim(string(v.Raw), `"`)+"`")
	}
	all = []string{strings.Join(all, ", ")}
	switch {
	case field.Minimum != nil && field.Maximum != nil:
		all = append(all, number(*field.Minimum)+" to "+number(*field.Maximum))
	case field.Minimum != nil:
		all = append(all, "at least "+number(*field.Minimum))
	case field.Maximum != nil:
		all = append(all, "at most "+number(*field.Maximum))
	}
	if field.Pattern != "" {
		all = append(all, "`"+field.Pattern+"`")
	}
	if field.MaxItems != nil {
		all = append(all, fmt.Sprintf("at most %d", *field.MaxItems))
	}
	if field.MaxProperties != nil {
		all = append(all, fmt.Sprintf("at most %d", *field.MaxProperties))
	}
	if field.Type != "object" && !isDuration(field) {
		for _, v := range field.XValidations {
			all = append(all, v.Message)
		}
	}
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "; ")
}

// words joins the lines of a description.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// cell keeps a text within its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// number writes a limit as a person would, without an exponent.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
