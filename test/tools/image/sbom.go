package main

import (
	"debug/buildinfo"
	"os"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBOM lists what a program is made of, as the Go linker noted it there: the modules,
// and the release of Go.
func (o *options) writeBOM(binary, path string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	bom := cdx.NewBOM()
	main := module(info.Main.Path, o.version)
	main.Type = cdx.ComponentTypeApplication
	main.Name = o.binary
	bom.Metadata = &cdx.Metadata{Timestamp: o.time().Format(time.RFC3339), Component: &main}
	components := []cdx.Component{module("std", info.GoVersion)}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, module(m.Path, m.Version))
	}
	bom.Components = &components
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := cdx.NewBOMEncoder(file, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		_ = file.Close() // the first error says more
		return err
	}
	return file.Close()
}

func module(path, version string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + version
	return cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl,
	}
}
