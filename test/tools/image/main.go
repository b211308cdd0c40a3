// Command image puts static Go binaries, one for each platform, into a container image: an OCI layout in a tar file, without a
// container engine, a base image or a network. The same binaries always give the same image, to the last bit.
//
//	image -name pdautoscaler -version v0.1.0 -revision 4f1c… -created 2026-01-31T12:00:00Z -out dist \
//	    linux/amd64=dist/linux_amd64/pdautoscaler linux/arm64=dist/linux_arm64/pdautoscaler
//
// An image holds the binary as its entry point, a user who is not root, and the list of the modules that it was built from
// (CycloneDX, /usr/share/sbom), which is written beside the image too. Load it with `docker load`, `ctr images import` or `skopeo copy
// oci-archive:…`.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// A request says what to build.
type request struct {
	name     string
	version  string
	revision string
	created  time.Time
	binaries []binary
}

// A binary is the program for one platform.
type binary struct {
	platform v1.Platform
	path     string
}

func run(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	var r request
	created, out := "", ""
	flags.StringVar(&r.name, "name", "", "name of the program, and of the image")
	flags.StringVar(&r.version, "version", "", "its version, which is the image's tag")
	flags.StringVar(&r.revision, "revision", "", "the commit it was built from")
	flags.StringVar(&created, "created", "", "time of that commit (RFC 3339): every file's time")
	flags.StringVar(&out, "out", "dist", "folder that NAME-VERSION.tar and NAME-VERSION.cdx.json are written to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.name == "" || r.version == "" || flags.NArg() == 0 {
		return fmt.Errorf("-name, -version and at least one OS/ARCH=PATH are needed")
	}
	var err error
	if r.created, err = time.Parse(time.RFC3339, created); err != nil {
		return fmt.Errorf("-created is %q: want a time as 2026-01-31T12:00:00Z", created)
	}
	for _, arg := range flags.Args() {
		b, err := parseBinary(arg)
		if err != nil {
			return err
		}
		r.binaries = append(r.binaries, b)
	}
	base := filepath.Join(out, r.name+"-"+r.version)
	digest, err := r.write(base+".tar", base+".cdx.json")
	if err != nil {
		return err
	}
	fmt.Printf("%s.tar %s\n", base, digest)
	return nil
}

func parseBinary(arg string) (binary, error) {
	platform, path, ok := strings.Cut(arg, "=")
	p, err := v1.ParsePlatform(platform)
	if !ok || err != nil || p.OS == "" || p.Architecture == "" {
		return binary{}, fmt.Errorf("%q: want OS/ARCH=PATH, as linux/amd64=dist/linux_amd64/pdautoscaler", arg)
	}
	return binary{*p, path}, nil
}
