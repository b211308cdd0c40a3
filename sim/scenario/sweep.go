package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SweepKey is one key of a scenario file and the values that it is to have, one after the other.
type SweepKey struct {
	// Key is dotted: decode.tp, faults.0.at.
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// maxPoints bounds a sweep, so that a slip is refused instead of running for a year.
const maxPoints = 100_000

// ParseSweep reads key=a,b,c. A comma within brackets or braces belongs to its value.
func ParseSweep(text string) (SweepKey, error) {
	key, list, ok := strings.Cut(text, "=")
	if key = strings.TrimSpace(key); !ok || key == "" || slices.Contains(strings.Split(key, "."), "") {
		return SweepKey{}, fmt.Errorf("%q is no sweep; allowed is KEY=VALUE,VALUE,... with a key of the scenario such as decode.tp", text)
	}
	s := SweepKey{Key: key}
	depth, from := 0, 0
	for i, c := range list + "," {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 || i == len(list) {
				s.Values = append(s.Values, strings.TrimSpace(list[from:i]))
				from = i + 1
			}
		}
	}
	for i, v := range s.Values {
		if v == "" {
			return SweepKey{}, fmt.Errorf("sweep of %s: value %d is empty; allowed are values with commas between them", key, i+1)
		}
		if slices.Contains(s.Values[:i], v) {
			return SweepKey{}, fmt.Errorf("sweep of %s: the value %s is there twice; allowed is once", key, v)
		}
	}
	return s, nil
}

// Sweep is one scenario with several values for some of its keys: every combination is a point.
type Sweep struct {
	Keys []SweepKey
	name string
	root *yaml.Node
}

// NewSweep prepares a sweep over the scenario in text, which name stands for in errors. Every value of every key must be one
// that the scenario may have.
func NewSweep(text []byte, name string, keys []SweepKey) (*Sweep, error) {
	if _, err := Parse(text, name); err != nil {
		return nil, err
	}
	s := &Sweep{Keys: keys, name: name, root: &yaml.Node{}}
	if err := yaml.Unmarshal(text, s.root); err != nil {
		return nil, worded(name, err)
	}
	points := 1
	for i, k := range keys {
		if slices.ContainsFunc(keys[:i], func(o SweepKey) bool { return o.Key == k.Key }) {
			return nil, fmt.Errorf("sweep: the key %s is there twice; allowed is once", k.Key)
		}
		if points *= len(k.Values); points > maxPoints {
			return nil, fmt.Errorf("sweep: more than %d combinations; allowed is up to that", maxPoints)
		}
		for _, v := range k.Values {
			if _, err := s.file([]SweepKey{{k.Key, []string{v}}}, []int{0}); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// Points is how many combinations there are.
func (s *Sweep) Points() int {
	n := 1
	for _, k := range s.Keys {
		n *= len(k.Values)
	}
	return n
}

// places are those of a point's values in their lists; the last key goes fastest.
func (s *Sweep) places(point int) []int {
	at := make([]int, len(s.Keys))
	for i, k := range slices.Backward(s.Keys) {
		at[i] = point % len(k.Values)
		point /= len(k.Values)
	}
	return at
}

// Set are the values of a point by key.
func (s *Sweep) Set(point int) map[string]string {
	set := map[string]string{}
	for i, at := range s.places(point) {
		set[s.Keys[i].Key] = s.Keys[i].Values[at]
	}
	return set
}

// File is the scenario of a point, and its name in errors.
func (s *Sweep) File(point int) (*File, string, error) {
	at := s.places(point)
	f, err := s.file(s.Keys, at)
	return f, s.pointName(s.Keys, at), err
}

func (s *Sweep) pointName(keys []SweepKey, at []int) string {
	var parts []string
	for i, k := range keys {
		parts = append(parts, k.Key+"="+k.Values[at[i]])
	}
	return s.name + " with " + strings.Join(parts, " ")
}

// madeUpLine is a place in a text that nobody wrote.
var madeUpLine = regexp.MustCompile(`^line \d+: `)

func (s *Sweep) file(keys []SweepKey, at []int) (*File, error) {
	name := s.pointName(keys, at)
	root := clone(s.root)
	for i, k := range keys {
		if err := set(root, strings.Split(k.Key, "."), k.Values[at[i]]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f, err := Parse(text, name)
	if err == nil {
		return f, nil
	}
	var all []error
	for line := range strings.Lines(err.Error()) {
		rest := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), name)
		all = append(all, fmt.Errorf("%s: %s", name, madeUpLine.ReplaceAllString(strings.TrimLeft(rest, ": "), "")))
	}
	return nil, errors.Join(all...)
}

// clone copies a tree, aliases resolved: a value that is set must not change its namesakes.
func clone(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	c := *n
	c.Anchor, c.Content = "", nil
	for _, child := range n.Content {
		c.Content = append(c.Content, clone(child))
	}
	return &c
}

// set gives the value at a path of keys and places in lists. Maps that are not there are made.
func set(n *yaml.Node, path []string, value string) error {
	if n.Kind == yaml.DocumentNode {
		return set(n.Content[0], path, value)
	}
	if len(path) == 0 {
		var v yaml.Node
		if err := yaml.Unmarshal([]byte(value), &v); err != nil || len(v.Content) != 1 {
			return fmt.Errorf("%q is no YAML value", value)
		}
		*n = *v.Content[0]
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == path[0] {
				return set(n.Content[i+1], path[1:], value)
			}
		}
		child := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: path[0]}, child)
		return set(child, path[1:], value)
	case yaml.SequenceNode:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(n.Content) {
			return fmt.Errorf("%s is no place in a list of %d; allowed is a number from 0", path[0], len(n.Content))
		}
		return set(n.Content[i], path[1:], value)
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			return set(n, path, value)
		}
	}
	return fmt.Errorf("key %s is below a value, %q", path[0], n.Value)
}

// Files are the paths that a scenario names: fit, config and traces, as they are written.
func (f *File) Files() []string {
	var all []string
	if f.Fit != "" {
		all = append(all, f.Fit)
	}
	if strings.HasSuffix(f.Model, ".json") {
		all = append(all, f.Model)
	}
	for _, p := range f.Traffic.parts() {
		if p.Trace != "" && p.Trace != "-" {
			all = append(all, p.Trace)
		}
	}
	return all
}
