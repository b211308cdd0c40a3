package crd

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Narrowed says what of a released definition a newer one takes away: a version, a field, a type, a value, a length, a default;
// or what it asks for that it did not ask for before. An object that was valid must stay valid and mean the same, whoever wrote it:
// a person's manifest, or the status of the controller before an upgrade. Each is one sentence with its place. None is compatible.
//
// New fields, wider bounds, more values and other descriptions are no change of what was. Rules in CEL are compared as texts: one
// that is new or reads otherwise is reported, for a person to judge.
func Narrowed(released, current *apiextensionsv1.CustomResourceDefinition) []string {
	c := comparison{}
	if a, b := released.Spec.Group, current.Spec.Group; a != b {
		c.say("group", "was %s and is %s", a, b)
	}
	if a, b := released.Spec.Scope, current.Spec.Scope; a != b {
		c.say("scope", "was %s and is %s", a, b)
	}
	if a, b := released.Spec.Names, current.Spec.Names; a.Kind != b.Kind || a.Plural != b.Plural {
		c.say("names", "were %s, %s and are %s, %s", a.Kind, a.Plural, b.Kind, b.Plural)
	}
	for _, name := range released.Spec.Names.ShortNames {
		if !slices.Contains(current.Spec.Names.ShortNames, name) {
			c.say("names", "the short name %s is gone", name)
		}
	}
	for i := range released.Spec.Versions {
		before := &released.Spec.Versions[i]
		if !before.Served {
			continue
		}
		at := slices.IndexFunc(current.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == before.Name && v.Served })
		if at < 0 {
			c.say(before.Name, "is not served any more")
			continue
		}
		c.version(before, &current.Spec.Versions[at])
	}
	return c.found
}

type comparison struct{ found []string }

func (c *comparison) say(place, format string, args ...any) {
	c.found = append(c.found, place+": "+fmt.Sprintf(format, args...))
}

func (c *comparison) version(before, now *apiextensionsv1.CustomResourceDefinitionVersion) {
	if b, n := before.Subresources, now.Subresources; b != nil {
		if b.Status != nil && (n == nil || n.Status == nil) {
			c.say(before.Name, "the subresource status is gone")
		}
		if b.Scale != nil && (n == nil || !reflect.DeepEqual(b.Scale, n.Scale)) {
			c.say(before.Name, "the subresource scale is gone or another")
		}
	}
	for _, column := range before.AdditionalPrinterColumns {
		if !slices.ContainsFunc(now.AdditionalPrinterColumns, func(n apiextensionsv1.CustomResourceColumnDefinition) bool { return n.Name == column.Name }) {
			c.say(before.Name, "the column %s is gone", column.Name)
		}
	}
	switch {
	case before.Schema == nil:
	case now.Schema == nil:
		c.say(before.Name, "has no schema any more")
	default:
		c.schema(before.Name, before.Schema.OpenAPIV3Schema, now.Schema.OpenAPIV3Schema)
	}
}

// schema compares one place, and then those below it.
func (c *comparison) schema(place string, before, now *apiextensionsv1.JSONSchemaProps) {
	if before.Type != now.Type && !now.XIntOrString || before.XIntOrString && !now.XIntOrString {
		c.say(place, "was of type %q and is of type %q", before.Type, now.Type)
		return
	}
	if before.Format != now.Format && now.Format != "" {
		c.say(place, "was of format %q and is of format %q", before.Format, now.Format)
	}
	if before.Nullable && !now.Nullable {
		c.say(place, "may not be null any more")
	}
	if d := now.Default; before.Default != nil && (d == nil || string(d.Raw) != string(before.Default.Raw)) {
		c.say(place, "its default was %s and is another: what leaves it out changes its meaning", before.Default.Raw)
	}
	c.fields(place, before, now)
	c.values(place, before, now)
	c.bounds(place, before, now)
	if b, n := before.Items, now.Items; b != nil && b.Schema != nil && n != nil && n.Schema != nil {
		c.schema(place+"[]", b.Schema, n.Schema)
	}
	if b, n := before.AdditionalProperties, now.AdditionalProperties; b != nil && b.Schema != nil && n != nil && n.Schema != nil {
		c.schema(place+"{}", b.Schema, n.Schema)
	} else if b != nil && n == nil {
		c.say(place, "takes no free keys any more")
	}
}

func (c *comparison) fields(place string, before, now *apiextensionsv1.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(before.Properties)) {
		b, below := before.Properties[name], strings.TrimPrefix(place+"."+name, ".")
		n, there := now.Properties[name]
		if !there {
			c.say(below, "the field is gone: what it held is thrown away")
			continue
		}
		c.schema(below, &b, &n)
	}
	for _, name := range now.Required {
		if !slices.Contains(before.Required, name) {
			c.say(place, "asks for %s, which could be left out", name)
		}
	}
	if preserved := before.XPreserveUnknownFields; preserved != nil && *preserved && (now.XPreserveUnknownFields == nil || !*now.XPreserveUnknownFields) {
		c.say(place, "throws unknown fields away, which it kept")
	}
	for _, pair := range [][2]*string{{before.XListType, now.XListType}, {before.XMapType, now.XMapType}} {
		if b, n := pair[0], pair[1]; (b == nil) != (n == nil) || b != nil && *b != *n {
			c.say(place, "is merged in another way than before")
		}
	}
	if !slices.Equal(before.XListMapKeys, now.XListMapKeys) {
		c.say(place, "has the keys %q, and had %q", now.XListMapKeys, before.XListMapKeys)
	}
}

// values compares what a place may hold: enumerated values, patterns, rules.
func (c *comparison) values(place string, before, now *apiextensionsv1.JSONSchemaProps) {
	if len(now.Enum) > 0 {
		if len(before.Enum) == 0 {
			c.say(place, "has a list of allowed values, and had none")
		}
		for _, value := range before.Enum {
			if !slices.ContainsFunc(now.Enum, func(n apiextensionsv1.JSON) bool { return string(n.Raw) == string(value.Raw) }) {
				c.say(place, "the value %s is not allowed any more", value.Raw)
			}
		}
	}
	if now.Pattern != "" && now.Pattern != before.Pattern {
		c.say(place, "must match %q, and had to match %q", now.Pattern, before.Pattern)
	}
	for _, rule := range now.XValidations {
		if !slices.ContainsFunc(before.XValidations, func(b apiextensionsv1.ValidationRule) bool { return b.Rule == rule.Rule }) {
			c.say(place, "has a rule that it had not: %s", rule.Rule)
		}
	}
}

// bounds compares numbers and lengths: a lower bound may only fall, an upper one only rise.
func (c *comparison) bounds(place string, before, now *apiextensionsv1.JSONSchemaProps) {
	lower := func(what string, before, now *float64) {
		if now != nil && (before == nil || *now > *before) {
			c.say(place, "%s is %v, which is narrower", what, *now)
		}
	}
	upper := func(what string, before, now *float64) {
		if now != nil && (before == nil || *now < *before) {
			c.say(place, "%s is %v, which is narrower", what, *now)
		}
	}
	lower("its minimum", before.Minimum, now.Minimum)
	upper("its maximum", before.Maximum, now.Maximum)
	lower("its least length", number(before.MinLength), number(now.MinLength))
	upper("its greatest length", number(before.MaxLength), number(now.MaxLength))
	lower("its least number of items", number(before.MinItems), number(now.MinItems))
	upper("its greatest number of items", number(before.MaxItems), number(now.MaxItems))
	lower("its least number of keys", number(before.MinProperties), number(now.MinProperties))
	upper("its greatest number of keys", number(before.MaxProperties), number(now.MaxProperties))
	if now.ExclusiveMinimum && !before.ExclusiveMinimum || now.ExclusiveMaximum && !before.ExclusiveMaximum || now.UniqueItems && !before.UniqueItems {
		c.say(place, "leaves out its bound, or doubles, which it took before")
	}
}

func number(n *int64) *float64 {
	if n == nil {
		return nil
	}
	return new(float64(*n))
}
