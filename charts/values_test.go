package charts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestLint(t *testing.T) {
	for _, set := range sets(t) {
		if out, err := runHelm(t, "lint", "--strict", "pdautoscaler", "--namespace", namespace, "--values", filepath.Join("testdata", set+".yaml")); err != nil {
			t.Errorf("%s: %v\n%s", set, err, out)
		}
	}
}

// What cannot be meant is refused before anything is installed, by name.
func TestWrongValues(t *testing.T) {
	for name, c := range map[string]struct{ set, says string }{
		"misspelt":              {"metrics.serviceMonitor.enable=true", "enable"},
		"no replica":            {"replicas=0", "replicas"},
		"not a number":          {"replicas=many", "replicas"},
		"level":                 {"log.level=loud", "level"},
		"tag and digest in one": {"image.tag=v1@sha256:aa", "tag"},
		"short digest":          {"image.digest=sha256:aa", "digest"},
		"pull policy":           {"image.pullPolicy=Sometimes", "pullPolicy"},
		"namespace":             {"namespaces[0]=Default", "namespaces"},
		"not a flag":            {"extraArgs[0]=records=3", "extraArgs"},
		"who makes them":        {"certificates.from=vault", "from"},
		"no such group":         {"metricsAPI.groups[0]=resource", "groups"},
		"interval":              {"metrics.serviceMonitor.interval=often", "interval"},
		"reader without a name": {"metrics.readers[0].namespace=monitoring", "readers"},
		"page":                  {"page.serve=true", "serve"},
		"DCGM":                  {"gpuAgent.dcgm=http://x", "dcgm"},
		"no authority":          {"certificates.from=secrets,metricsAPI.enabled=true", "metricsAPI.caBundle must be the authority"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runHelm(t, "template", release, "pdautoscaler", "--set", c.set)
			if err == nil {
				t.Fatalf("--set %s is taken:\n%.300s", c.set, out)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("--set %s is refused without a word of %q: %v", c.set, c.says, err)
			}
		})
	}
}

// Every value is in the schema and the other way round. additionalProperties is false throughout, so that lint holds the first.
func TestSchemaKnowsEveryValue(t *testing.T) {
	var values, schema map[string]any
	for path, into := range map[string]*map[string]any{"pdautoscaler/values.yaml": &values, "pdautoscaler/values.schema.json": &schema} {
		text, err := os.ReadFile(path)
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	properties := schema["properties"].(map[string]any)
	delete(properties, "global") // what Helm itself passes to a chart of charts
	var compare func(path string, properties, values map[string]any)
	compare = func(path string, properties, values map[string]any) {
		for key, p := range properties {
			value, there := values[key]
			if !there {
				t.Errorf("values.yaml has no %s%s, which the schema knows", path, key)
				continue
			}
			property := p.(map[string]any)
			if deeper, ok := property["properties"].(map[string]any); ok {
				if property["additionalProperties"] != false {
					t.Errorf("the schema lets %s%s have any property", path, key)
				}
				compare(path+key+".", deeper, value.(map[string]any))
			}
		}
		for key := range values {
			if properties[key] == nil {
				t.Errorf("the schema does not know %s%s", path, key)
			}
		}
	}
	compare("", properties, values)
	if !json.Valid(mustRead(t, "pdautoscaler/values.schema.json")) {
		t.Error("the schema is not JSON")
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
