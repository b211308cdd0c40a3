package scenario

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

// docs/scenario.md tells every key and every policy there is.
func TestTheDocumentHasEveryKey(t *testing.T) {
	raw, err := os.ReadFile("../../docs/scenario.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, key := range keysOf(reflect.TypeFor[File](), "") {
		last := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(text, "`"+key) && !strings.Contains(text, key+"`") && !strings.Contains(text, last) {
			t.Errorf("the key %s is not in docs/scenario.md", key)
		}
	}
	for _, name := range policy.Names() {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the policy %s is not in docs/scenario.md", name)
		}
	}
}

// keysOf are the dotted keys of a type.
func keysOf(t reflect.Type, before string) (all []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Duration]() {
		return []string{strings.TrimSuffix(before, ".")}
	}
	for field := range t.Fields() {
		name, inline, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		at := before
		if inline != "inline" {
			at += name + "."
		}
		all = append(all, keysOf(field.Type, at)...)
	}
	return all
}
