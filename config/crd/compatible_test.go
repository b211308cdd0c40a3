package crd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func definition(t *testing.T, text []byte) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	d := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// What a released definition allowed is allowed. Each file of released/ is the definition of one release, put there when it is
// made and never changed after; where this test fails, the change asks for another version of the API, not for another file.
func TestCompatibleWithEveryRelease(t *testing.T) {
	files, err := filepath.Glob("released/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no released definitions were found (%v)", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range Narrowed(definition(t, text), definition(t, PDAutoscalers)) {
			t.Errorf("%s: %s", filepath.Base(file), what)
		}
	}
}

// place finds the schema of a field by its path.
func place(t *testing.T, d *apiextensionsv1.CustomResourceDefinition, path string, edit func(*apiextensionsv1.JSONSchemaProps)) {
	t.Helper()
	var into func(s *apiextensionsv1.JSONSchemaProps, names []string)
	into = func(s *apiextensionsv1.JSONSchemaProps, names []string) {
		if len(names) == 0 {
			edit(s)
			return
		}
		if names[0] == "[]" {
			into(s.Items.Schema, names[1:])
			return
		}
		below, there := s.Properties[names[0]]
		if !there {
			t.Fatalf("%s is not in the definition", path)
		}
		into(&below, names[1:])
		s.Properties[names[0]] = below
	}
	var names []string
	if path != "" {
		names = strings.Split(path, ".")
	}
	into(d.Spec.Versions[0].Schema.OpenAPIV3Schema, names)
}

// Each way in which a definition can be narrowed is found, at its place, and each way in which it may grow is not.
func TestNarrowedFindsEachChange(t *testing.T) {
	type schema = apiextensionsv1.JSONSchemaProps
	for name, c := range map[string]struct {
		path string
		edit func(*schema)
		want string // "" is compatible
	}{
		"a field is gone":        {"spec.budget", func(s *schema) { delete(s.Properties, "gpus") }, "v1alpha1.spec.budget.gpus: the field is gone"},
		"a status field is gone": {"status.memory", func(s *schema) { delete(s.Properties, "version") }, "v1alpha1.status.memory.version: the field is gone"},
		"another type":           {"spec.budget.gpus", func(s *schema) { s.Type = "string" }, `v1alpha1.spec.budget.gpus: was of type "integer" and is of type "string"`},
		"a smaller maximum":      {"spec.budget.gpus", func(s *schema) { s.Maximum = new(64.0) }, "v1alpha1.spec.budget.gpus: its maximum is 64, which is narrower"},
		"a new minimum":          {"status.gpus.held", func(s *schema) { s.Minimum = new(1.0) }, "v1alpha1.status.gpus.held: its minimum is 1"},
		"asked for":              {"spec", func(s *schema) { s.Required = append(s.Required, "signals") }, "v1alpha1.spec: asks for signals, which could be left out"},
		"a value is gone":        {"spec.mode", func(s *schema) { s.Enum = s.Enum[1:] }, `v1alpha1.spec.mode: the value "Auto" is not allowed any more`},
		"a new list of values":   {"status.reason", func(s *schema) { s.Enum = []apiextensionsv1.JSON{{Raw: []byte(`"Steady"`)}} }, "v1alpha1.status.reason: has a list of allowed values, and had none"},
		"another default":        {"spec.mode", func(s *schema) { s.Default = &apiextensionsv1.JSON{Raw: []byte(`"Auto"`)} }, "v1alpha1.spec.mode: its default was"},
		"fewer items":            {"status.decisions", func(s *schema) { s.MaxItems = new(int64(3)) }, "v1alpha1.status.decisions: its greatest number of items is 3"},
		"a shorter text":         {"status.message", func(s *schema) { s.MaxLength = new(int64(80)) }, "v1alpha1.status.message: its greatest length is 80"},
		"below a list":           {"status.decisions.[]", func(s *schema) { delete(s.Properties, "applied") }, "v1alpha1.status.decisions[].applied: the field is gone"},
		"a new pattern":          {"spec.gpu", func(s *schema) { s.Pattern = "^H" }, "v1alpha1.spec.gpu: must match"},
		"a new rule": {"spec", func(s *schema) {
			s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: "false"})
		}, "v1alpha1.spec: has a rule that it had not: false"},
		"another way of merging":   {"status.conditions", func(s *schema) { s.XListType = new("atomic") }, "v1alpha1.status.conditions: is merged in another way"},
		"a new field":              {"spec", func(s *schema) { s.Properties["more"] = schema{Type: "string"} }, ""},
		"more values":              {"spec.mode", func(s *schema) { s.Enum = append(s.Enum, apiextensionsv1.JSON{Raw: []byte(`"Dream"`)}) }, ""},
		"a larger maximum":         {"spec.budget.gpus", func(s *schema) { s.Maximum = new(1e6) }, ""},
		"no maximum":               {"spec.budget.gpus", func(s *schema) { s.Maximum = nil }, ""},
		"other words":              {"spec.budget", func(s *schema) { s.Description = "other words" }, ""},
		"one rule less":            {"spec", func(s *schema) { s.XValidations = s.XValidations[1:] }, ""},
		"can be left out now":      {"spec.budget", func(s *schema) { s.Required = nil }, ""},
		"a default where was none": {"spec.gpu", func(s *schema) { s.Default = &apiextensionsv1.JSON{Raw: []byte(`"H200"`)} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before, now := definition(t, PDAutoscalers), definition(t, PDAutoscalers)
			place(t, now, c.path, c.edit)
			got := Narrowed(before, now)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
				t.Errorf("found is %q, want %q", got, c.want)
			}
		})
	}
}

func TestNarrowedLooksAtTheWhole(t *testing.T) {
	for want, edit := range map[string]func(*apiextensionsv1.CustomResourceDefinition){
		"v1alpha1: is not served any more":         func(d *apiextensionsv1.CustomResourceDefinition) { d.Spec.Versions[0].Served = false },
		"v1alpha1: the subresource status is gone": func(d *apiextensionsv1.CustomResourceDefinition) { d.Spec.Versions[0].Subresources = nil },
		"v1alpha1: the column SLO is gone": func(d *apiextensionsv1.CustomResourceDefinition) {
			v := &d.Spec.Versions[0]
			v.AdditionalPrinterColumns = slices.DeleteFunc(v.AdditionalPrinterColumns, func(c apiextensionsv1.CustomResourceColumnDefinition) bool { return c.Name == "SLO" })
		},
		"scope: was Namespaced and is Cluster": func(d *apiextensionsv1.CustomResourceDefinition) { d.Spec.Scope = apiextensionsv1.ClusterScoped },
		"names: the short name pda is gone":    func(d *apiextensionsv1.CustomResourceDefinition) { d.Spec.Names.ShortNames = nil },
	} {
		now := definition(t, PDAutoscalers)
		edit(now)
		if got := Narrowed(definition(t, PDAutoscalers), now); len(got) != 1 || got[0] != want {
			t.Errorf("found is %q, want %q", got, want)
		}
	}
}
