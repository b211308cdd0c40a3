package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jsonError is what is wrong with a JSON document, and where.
type jsonError struct {
	offset  int // bytes from the start of the document
	message string
}

func (f *jsonError) Error() string { return f.message }

// checker reads a JSON document token by token and holds it against a Go type. Unlike encoding/json it refuses unknown and
// repeated keys, and knows where in the document it is.
type checker struct {
	data []byte
	dec  *json.Decoder
	base int // where dec's input begins in data
}

func newChecker(data []byte, base int) *checker {
	dec := json.NewDecoder(bytes.NewReader(data[base:]))
	dec.UseNumber()
	return &checker{data: data, dec: dec, base: base}
}

// next returns the next token and where it begins.
func (c *checker) next() (json.Token, int, error) {
	start := c.base + int(c.dec.InputOffset())
	for start < len(c.data) && strings.IndexByte(" \t\r\n,:", c.data[start]) >= 0 {
		start++
	}
	token, err := c.dec.Token()
	switch {
	case err == nil:
		return token, start, nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "unexpected end of JSON"):
		return nil, start, &jsonError{len(c.data), "the JSON ends in the middle: it was cut off"}
	}
	for _, word := range []string{"NaN", "Infinity", "-Infinity", "Inf", "-Inf", "+Inf"} {
		if bytes.HasPrefix(c.data[start:], []byte(word)) {
			return nil, start, &jsonError{start, word + " is no number in JSON: what is not known is left out"}
		}
	}
	return nil, start, &jsonError{start, "not JSON: " + err.Error()}
}

var timeType = reflect.TypeFor[time.Time]()

// value checks one value against t. path names it for people.
func (c *checker) value(t reflect.Type, path string) error {
	token, at, err := c.next()
	if err != nil {
		return err
	}
	for t.Kind() == reflect.Pointer {
		if token == nil {
			return nil
		}
		t = t.Elem()
	}
	wrong := func(want string) error {
		name := path
		if name == "" {
			name = "it"
		}
		return &jsonError{at, fmt.Sprintf("%s is %s and must be %s", name, tokenText(token), want)}
	}
	switch {
	case t == timeType:
		if s, ok := token.(string); !ok || !isTime(s) {
			return wrong(`a time such as "2026-03-01T12:00:00Z"`)
		}
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		if token == nil && t.Kind() == reflect.Map {
			return nil
		}
		if token != json.Delim('{') {
			return wrong("an object")
		}
		return c.members(t, path)
	case t.Kind() == reflect.Slice:
		if token == nil {
			return nil
		}
		if token != json.Delim('[') {
			return wrong("a list")
		}
		return c.elements(t.Elem(), path)
	case t.Kind() == reflect.String:
		if _, ok := token.(string); !ok {
			return wrong("a text")
		}
	case t.Kind() == reflect.Bool:
		if _, ok := token.(bool); !ok {
			return wrong("true or false")
		}
	case t.Kind() == reflect.Int:
		if _, err := strconv.Atoi(numberText(token)); err != nil {
			return wrong("a whole number")
		}
	case t.Kind() == reflect.Float64:
		if _, err := strconv.ParseFloat(numberText(token), 64); err != nil {
			return wrong("a number up to 1.7e308")
		}
	default:
		// A kind that no record has yet: a test reads every field of one.
		return wrong("left out: this program does not read it")
	}
	return nil
}

// members checks the members of an object whose brace was read.
func (c *checker) members(t reflect.Type, path string) error {
	var seen []string
	for {
		token, at, err := c.next()
		if err != nil {
			return err
		}
		if token == json.Delim('}') {
			return nil
		}
		key, ok := token.(string)
		if !ok {
			return &jsonError{at, "not JSON: a key was expected in " + path}
		}
		member := join(path, key)
		if slices.Contains(seen, key) {
			return &jsonError{at, member + " is there twice"}
		}
		seen = append(seen, key)
		var field reflect.Type
		if t.Kind() == reflect.Map {
			field = t.Elem()
		} else if field, ok = fieldNamed(t, key); !ok {
			return &jsonError{at, fmt.Sprintf("unknown field %s: allowed here are %s", member, strings.Join(fieldNames(t), ", "))}
		}
		if err := c.value(field, member); err != nil {
			return err
		}
	}
}

// elements checks the elements of a list whose bracket was read.
func (c *checker) elements(t reflect.Type, path string) error {
	for i := 0; ; i++ {
		if !c.dec.More() {
			_, _, err := c.next()
			return err
		}
		if err := c.value(t, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
}

// fieldNamed finds the type of a struct's field by its JSON key.
func fieldNamed(t reflect.Type, key string) (reflect.Type, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" && name == key {
			return f.Type, true
		}
	}
	return nil, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// jsonName is the key of a field, empty where the field has none of its own (an embedded struct, "-").
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || name == "-" || (f.Anonymous && name == "") {
		return ""
	}
	if name == "" {
		return f.Name
	}
	return name
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil
}

func numberText(token json.Token) string {
	n, _ := token.(json.Number)
	return n.String()
}

// tokenText shows a token in a sentence.
func tokenText(token json.Token) string {
	switch v := token.(type) {
	case nil:
		return "null"
	case json.Delim:
		if v == '{' {
			return "an object"
		}
		return "a list"
	case string:
		if len(v) > 40 {
			v = v[:40] + "..."
		}
		return strconv.Quote(v)
	}
	return fmt.Sprint(token)
}
