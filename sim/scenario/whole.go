package scenario

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// wholeNumbers refuses numbers with a fraction where the key takes whole ones:
// the YAML library would cut 16.7 down to 16 and say nothing. The text was
// decoded into the same type before, so that every node fits it.
func wholeNumbers(data []byte, into reflect.Type) error {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil || len(root.Content) != 1 {
		return err
	}
	if all := broken(root.Content[0], into); len(all) > 0 {
		return &yaml.TypeError{Errors: all}
	}
	return nil
}

// broken are the numbers at and below a node that are not whole and must be.
func broken(n *yaml.Node, into reflect.Type) (all []string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if reflect.PointerTo(into).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
		return nil // it reads itself
	}
	switch into.Kind() {
	case reflect.Pointer:
		return broken(n, into.Elem())
	case reflect.Int, reflect.Uint64:
		v, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if n.ShortTag() == "!!float" && (err != nil || v != math.Trunc(v)) {
			return []string{fmt.Sprintf("line %d: %q is not what the key takes; allowed is %s", n.Line, n.Value, kinds[into.String()])}
		}
	case reflect.Slice:
		for _, item := range n.Content {
			all = append(all, broken(item, into.Elem())...)
		}
	case reflect.Struct:
		for i := 0; i+1 < len(n.Content); i += 2 {
			of := typeOfKey(into, n.Content[i].Value)
			if n.Content[i].ShortTag() == "!!merge" {
				of = into
			}
			if of != nil {
				all = append(all, broken(n.Content[i+1], of)...)
			}
		}
	}
	return all
}

// typeOfKey is the type that a struct gives to a key, nil where it has no such key.
func typeOfKey(of reflect.Type, key string) reflect.Type {
	for field := range of.Fields() {
		switch name, inline := strings.CutSuffix(field.Tag.Get("yaml"), ",inline"); {
		case inline:
			if found := typeOfKey(field.Type, key); found != nil {
				return found
			}
		case name == key:
			return field.Type
		}
	}
	return nil
}
