package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// chart is the folder of the Helm chart.
const chart = "charts/pdautoscaler"

// chartFiles are the copies, by their path in the repository.
func chartFiles(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for from, to := range map[string]string{
		"config/crd/bases/pdautoscaler.io_pdautoscalers.yaml": "crd.yaml",
		"config/monitoring/dashboard.json":                    "dashboard.json",
	} {
		content, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			return nil, err
		}
		files[chart+"/files/"+to] = bytes.TrimPrefix(content, []byte("---\n"))
	}
	roles, err := rules(root)
	if err != nil {
		return nil, err
	}
	for name, content := range roles {
		files[chart+"/files/rules/"+name+".yaml"] = content
	}
	alerts, err := documents(filepath.Join(root, alertsFile))
	if err != nil {
		return nil, err
	}
	groups := at(alerts[0], "spec", "groups")
	if groups == nil {
		return nil, fmt.Errorf("%s has no spec.groups", alertsFile)
	}
	files[chart+"/files/alerts.yaml"], err = write(groups)
	return files, err
}

// rules are those of every Role and ClusterRole in config/, by the role's name there.
func rules(root string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(root, "config", "rbac", "*.yaml"))
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, path := range append(paths, filepath.Join(root, "config", "metricsapi", "rbac.yaml")) {
		objects, err := documents(path)
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			kind := at(object, "kind")
			if kind == nil || !strings.HasSuffix(kind.Value, "Role") {
				continue
			}
			list, name := at(object, "rules"), at(object, "metadata", "name")
			if list == nil || name == nil {
				return nil, fmt.Errorf("%s: a %s without rules or a name", path, kind.Value)
			}
			if out[name.Value], err = write(list); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// documents are those of a YAML file.
func documents(path string) ([]*yaml.Node, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*yaml.Node
	for text := range bytes.SplitSeq(content, []byte("\n---\n")) {
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(document.Content) == 1 {
			out = append(out, document.Content[0])
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no object", path)
	}
	return out, nil
}

// at is the value under a path of keys, or nil.
func at(node *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		var found *yaml.Node
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				found = node.Content[i+1]
			}
		}
		if found == nil {
			return nil
		}
		node = found
	}
	return node
}

// write is a value as YAML, with its comments.
func write(node *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(node); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
