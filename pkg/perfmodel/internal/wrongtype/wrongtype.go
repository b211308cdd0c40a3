// Package wrongtype puts a JSON value of the wrong type into words that need no Go. It knows nothing else.
package wrongtype

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Explain is err with the field, what it holds and what is allowed, where err is about a value's type; else err itself.
func Explain(err error) error {
	wrong := new(json.UnmarshalTypeError)
	if !errors.As(err, &wrong) {
		return err
	}
	field := wrong.Field
	if field == "" {
		field = "the file"
	}
	return fmt.Errorf("%s is a JSON %s: allowed is %s", field, wrong.Value, words(wrong.Type))
}

func words(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return words(t.Elem()) + " or null"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text in quotes"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number that a float64 holds"
	}
	return "a whole number"
}
