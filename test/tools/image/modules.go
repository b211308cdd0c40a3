package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// modules lists what the program was built from, as the compiler wrote it into the binary: what is in the image and not what
// go.mod would allow. The binaries of all platforms must agree on versions; the list is their union.
func (r request) modules() ([]byte, error) {
	components := map[string]cdx.Component{}
	toolchain := ""
	for _, b := range r.binaries {
		info, err := buildinfo.ReadFile(b.path)
		if err != nil {
			return nil, fmt.Errorf("%s is no Go program whose modules are known: %w", b.path, err)
		}
		toolchain = info.GoVersion
		for _, m := range info.Deps {
			sum := m.Sum
			if m.Replace != nil {
				m = m.Replace
			}
			purl := "pkg:golang/" + m.Path + "@" + m.Version
			c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl}
			if sum != "" {
				c.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
			}
			components[purl] = c
		}
	}
	standard := "pkg:golang/std@" + strings.TrimPrefix(toolchain, "go")
	components[standard] = cdx.Component{BOMRef: standard, Type: cdx.ComponentTypeLibrary, Name: "std", Version: toolchain, PackageURL: standard}

	list := make([]cdx.Component, 0, len(components))
	for _, c := range components {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: r.created.UTC().Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: r.name, Type: cdx.ComponentTypeApplication, Name: r.name, Version: r.version},
	}
	bom.Components = &list
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
